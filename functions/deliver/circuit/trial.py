"""A pause, from the strikes that open the circuit to the trial that closes it.

While an app is paused all its deliveries are parked, and one chain of messages on the Retries queue stays: each is
the trial of one parked delivery, at growing intervals. The circuit counts the trials, and each message names its
own. So one that comes twice, or late, finds the circuit ahead of it and ends, and no chain forks. The trial that
finds the endpoint well closes the circuit and has health release what is parked, as after a switching on.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest

from bellhop import app_lists, attempts, circuits
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord
from bellhop.deliveries import Trial
from bellhop.registry import DISABLED, INTERNAL, App
from deliver.attempt import chain
from deliver.attempt.verdict import Judgement
from deliver.circuit import strikes
from deliver.circuit.known import CircuitState
from deliver.circuit.rate import MAX_TRIAL_SECONDS, TRIAL_SECONDS, trial_interval
from deliver.circuit.strikes import STRIKES_OF_SLOW, STRIKES_TO_PAUSE, Sign
from deliver.dependencies import DeliverDependencies, NotYetError, PendingAttempt, TrialLease, names
from deliver.next_step import NextStep

CANDIDATES = 50  # parked deliveries that a trial looks at: those before may be exhausted, or being attempted
DRAWN_FROM = 1000  # rows of the list that lots are drawn among
AGAIN_SECONDS = 5.0  # until the next trial where this one found only what is over: the list lags a moment behind
OVERDUE_SECONDS = 300.0  # after which a trial that nobody makes is sent again, beside its lease


@dataclass
class Search:
    """How many parked deliveries the trials of a batch may pass over together, as each costs calls.

    Where nothing is `left`, a trial looks at one alone, the newest. If that is over, it comes again soon. So what
    one app has passed over keeps no other's trial from being made. Of `rows` they draw lots among, and where none
    are left, among few: to read a thousand takes 50 ms of CPU.
    """

    left: int = CANDIDATES
    rows: int = DRAWN_FROM

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left <= 0


@dataclass(frozen=True, slots=True)
class Passed:
    """What a trial of an app passed over: `old`, which waited for too long, is exhausted after the batch's posts.

    `lease`: the trial's, where it found nothing to attempt. Where more may be over, it comes `again` soon.
    """

    app: App
    old: list[DeliveryRecord]
    lease: TrialLease | None = None
    again: bool = False

    def settle(self, deps: DeliverDependencies) -> NextStep:
        """Exhaust what is old, and announce it; then end the trial, if it made no attempt."""
        for row in self.old:
            _exhaust(row, self.app, deps)
        if self.lease is None:
            return NextStep()
        if self.old or self.again:
            return _end(self.app, self.lease, AGAIN_SECONDS, deps)
        return _nothing_due(self.app, self.lease, deps)


# The attempt that is a trial, if there is one to be made, and what was passed over on the way to it, if anything.
Found = tuple[PendingAttempt | None, Passed | None]


def take_in(signs: Iterable[Sign], deps: DeliverDependencies) -> None:
    """Count what a batch's attempts say of their endpoints; pause the apps of those that are unwell.

    Policy: what cannot be counted is not: the app's next failure tries again.
    """
    for sign in strikes.merge(signs):
        try:
            _take_in(sign, deps)
        except Exception:  # noqa: BLE001 - one app's circuit is not the others'
            deps.telemetry.error(
                "strikes not counted or app not paused, as a write failed: the app's next failure will try again",
                app_id=sign.app_id,
            )


def recover(app: App, state: CircuitState, deps: DeliverDependencies) -> None:
    """Send the trial of a paused app again if it is long overdue: its message was lost, or never sent.

    Policy: where that fails, the app's next delivery tries again; this one is parked all the same.
    """
    now, due = deps.time(), state.next_trial_at
    if due + OVERDUE_SECONDS + deps.policy.lease > now or state.trial_lease_until > now:
        return
    try:
        if circuits.postpone_trial(app.app_id, due, now):
            deps.scheduler.send_trial(Trial(app.app_id, int(app.generation), state.trials), 0)
            deps.telemetry.warning(
                "trial sent again: it is overdue, so its message may be lost", app_id=app.app_id
            )
    except Exception:  # noqa: BLE001 - see the policy
        deps.telemetry.error("overdue trial not sent again: the app's next delivery will try", app_id=app.app_id)


def begin(message: Trial, receive_count: int, search: Search, deps: DeliverDependencies) -> Found:
    """The attempt that is the trial, and what is to be settled after the posts; without both the message is done.

    Raises:
        NotYetError: another worker may be making it, or this process knows an older generation of the app.
        InternalError: the app has no secret. In both cases the message must come back.
    """
    app = deps.registry.app(message.app_id)
    if app and int(app.generation) < message.generation:
        raise NotYetError(f"this process knows an older generation of {app.app_id}")
    if app is None or app.state == DISABLED or int(app.generation) > message.generation:
        deps.telemetry.info("trials ended: the app was switched off, or is gone", app_id=message.app_id)
        return None, None
    state = deps.circuits.read(app)
    if state.paused_since is None:
        if receive_count > 1:  # this very message may have ended the pause
            _left_undone(app, message.number, state, deps).send(deps)
        return None, None
    chain.keys(app, deps)  # before the claim: a missing secret then leaves the trial free
    lease = TrialLease(deps.token(), message.number, state.paused_since)
    now, number = deps.time(), message.number
    claimed = circuits.claim_trial(
        app.app_id, message.generation, number, lease.token, now=now, seconds=deps.policy.lease
    )
    if claimed:
        return _begin(app, lease, search, deps)
    _not_claimed(message, receive_count, app, deps)
    return None, None


def finish(
    app: App, lease: TrialLease, judgement: Judgement, exhausted: DeliveryRecord | None, deps: DeliverDependencies
) -> NextStep:
    """Write what a trial showed: the pause ends with a slow start, or the next trial comes later."""
    if exhausted:
        _announce(exhausted, app, deps)
    if judgement.well:
        return _close(app, lease, 0, deps)
    # What a common app's endpoint asks of one organisation must not defer the trials of the others.
    not_before = judgement.not_before if app.kind == INTERNAL else min(judgement.not_before, MAX_TRIAL_SECONDS)
    wait = max(trial_interval(lease.paused_since, deps.time()), not_before)
    return _end(app, lease, wait, deps)


def defer(pending: PendingAttempt, wait: float, deps: DeliverDependencies) -> NextStep:
    """Have the next trial come after `wait` seconds, as this one showed nothing."""
    return _end(pending.app, pending.trial, wait, deps) if pending.trial else NextStep()


def give_back(pending: PendingAttempt) -> None:
    """Undo the claim of a trial that was not made."""
    if pending.trial:
        circuits.release_trial(pending.app.app_id, pending.trial.token)


def _take_in(sign: Sign, deps: DeliverDependencies) -> None:
    if sign.well:
        deps.circuits.note_well(sign.app_id)
        if deps.circuits.struck(sign.app_id):
            circuits.clear(sign.app_id, sign.generation)
            deps.circuits.forget(sign.app_id)
        return
    if deps.circuits.excuses(sign.app_id) and strikes.is_lone(sign):
        return
    now = deps.time()
    row = circuits.strike(
        sign.app_id, sign.generation, sign.strikes, strikes.named(sign.by), now=now, seconds=strikes.WINDOW_SECONDS
    )
    deps.circuits.note(row)
    pauses = strikes.pause(int(row.strikes or 0), row.struck_by or ())
    if not pauses or circuits.paused_since(row, sign.generation) is not None:
        return
    # The first trial before the pause: no pause is ever without one. A trial without a pause ends by itself.
    deps.scheduler.send_trial(Trial(sign.app_id, sign.generation, 0), round(TRIAL_SECONDS))
    if circuits.open_circuit(sign.app_id, sign.generation, now, now + TRIAL_SECONDS):
        deps.telemetry.warning(
            "app paused, its endpoint is unwell: its deliveries are parked, except for trials", app_id=sign.app_id
        )
        deps.telemetry.count("PauseBegan")
    deps.circuits.forget(sign.app_id)


def _begin(app: App, lease: TrialLease, search: Search, deps: DeliverDependencies) -> Found:
    old, again = list[DeliveryRecord](), search.is_over
    for row in _candidates(app, lease, search, deps):
        if _is_old(row, lease, deps):
            old.append(row)
        else:
            number, now = int(row.attempts_made) + 1, deps.now()
            record = attempts.claim(row.delivery_id, number, lease.token, now, deps.policy.lease, replay=True)
            pending = chain.prepare(record, app, deps) if record else None
            if pending:
                return replace(pending, trial=lease), Passed(app, old) if old else None
            # Otherwise nobody wants it any more, it has expired, or another worker is attempting it.
            again |= record is not None or attempts.unlist_expired(row, now)
        search.left -= 1
        if search.is_over:
            again = True
            break
    return None, Passed(app, old, lease, again)


def _candidates(
    app: App, lease: TrialLease, search: Search, deps: DeliverDependencies
) -> Iterator[DeliveryRecord]:
    """What is due, the oldest first; for every other trial, what lots are drawn for comes before.

    So neither what an organisation had parked first nor what it keeps having parked, and the endpoint fails at,
    prolongs the pause for the others. All of the app's keys are read only where that leads to no attempt.
    """
    now, seen = deps.now(), set[str]()
    if search.is_over:
        yield from app_lists.waiting_first(app.app_id, now, 1) or app_lists.waiting(app.app_id, now, 1)
        return
    if lease.number % 2:
        first = _drawn(app, search, deps)
    else:
        first = app_lists.waiting_by_turns(app.app_id, now, CANDIDATES, lease.number // 2)
    for row in first:
        seen.add(row.delivery_id)
        yield row
    yield from (row for row in app_lists.waiting(app.app_id, now, CANDIDATES) if row.delivery_id not in seen)


def _drawn(app: App, search: Search, deps: DeliverDependencies) -> list[DeliveryRecord]:
    """Of what is due under the app's first key, one of each organisation by lot, then a second one, and so on.

    Of an organisation's, lots decide among those that were attempted least. All of an internal app's are of one.
    """
    among = CANDIDATES if app.kind == INTERNAL else max(CANDIDATES, search.rows)
    rows = app_lists.waiting_first(app.app_id, deps.now(), among)
    search.rows -= len(rows)
    of = defaultdict[str, list[DeliveryRecord]](list)
    for row in sorted(rows, key=lambda row: (int(row.attempts_made), deps.uniform(0.0, 1.0))):
        of[app_lists.owner(row)].append(row)
    turns = zip_longest(*sorted(of.values(), key=lambda _: deps.uniform(0.0, 1.0)))
    return [row for turn in turns for row in turn if row][:CANDIDATES]


def _nothing_due(app: App, lease: TrialLease, deps: DeliverDependencies) -> NextStep:
    listed = app_lists.replayable(app.app_id, None, 1, exhausted=False)
    if listed and listed[0].state == PARKED:  # all of them are due later, or are being attempted
        return _end(app, lease, trial_interval(lease.paused_since, deps.time()), deps)
    # Nothing waits. So the next delivery is the trial: one more failure of it pauses the app again.
    return _close(app, lease, STRIKES_TO_PAUSE - STRIKES_OF_SLOW, deps)


def _is_old(row: DeliveryRecord, lease: TrialLease, deps: DeliverDependencies) -> bool:
    """Whether it was parked, because of this pause, for as long as its retries would have taken.

    One that is exhausted, and still among the parked, has not been announced yet.
    """
    since = datetime.fromisoformat(app_lists.listed_since(row)).timestamp()
    # What is older than the pause was parked while the app was off.
    return row.state == EXHAUSTED or max(since, lease.paused_since) + deps.policy.span < deps.time()


def _exhaust(row: DeliveryRecord, app: App, deps: DeliverDependencies) -> None:
    record = attempts.exhaust(row, deps.now())
    if record is None:
        return
    deps.telemetry.warning(
        "delivery exhausted: its app was paused for as long as its retries would have taken",
        **names(record),
    )
    deps.telemetry.count("DeliveryExhausted")
    _announce(record, app, deps)


def _announce(exhausted: DeliveryRecord, app: App, deps: DeliverDependencies) -> None:
    # It leaves the list of the parked only once it is announced, so a later trial finds it if this worker dies.
    chain.announce_exhausted(exhausted, deps)
    attempts.list_exhausted(exhausted, deps.now(), chain.list_key(app, exhausted, deps))


def _not_claimed(message: Trial, receive_count: int, app: App, deps: DeliverDependencies) -> None:
    state = deps.circuits.read(app)  # as it is after the claim: another worker may have changed it just before
    now, again = deps.time(), receive_count > 1
    if state.paused_since is not None and state.trials == message.number:
        if state.trial_lease_until >= now:
            # A second copy of the message is dropped: the worker with the lease has one of its own. This may be
            # that one, if its worker died.
            if again:
                raise NotYetError(f"the trial of {message.app_id} is being made by another worker")
        else:  # too early: sent for a pause that ended, or by a clock that is ahead
            _send(message, state.next_trial_at - now, deps)
            return
    elif again:  # its worker may have died before it sent what follows
        _left_undone(app, message.number, state, deps).send(deps)
        return
    _drop(app, message.number, deps)


def _drop(app: App, number: int, deps: DeliverDependencies) -> None:
    deps.telemetry.info("duplicate trial dropped: its circuit is ahead", app_id=app.app_id, trial=number)
    deps.telemetry.count("DuplicateDropped")


def _left_undone(app: App, number: int, state: CircuitState, deps: DeliverDependencies) -> NextStep:
    """What may still have to be sent after trial `number`, whose end is in the circuit already.

    Either its worker died before it was sent, or the response to the write was lost. To send it once more is
    harmless: the second trial finds the circuit ahead, and the second release finds nothing.
    """
    if state.paused_since is None:
        return NextStep(released=_key(app)) if state.closed_at is not None else NextStep()
    if state.trials == number + 1:
        return _next_trial(app, state.trials, state.next_trial_at - deps.time())
    _drop(app, number, deps)
    return NextStep()


def _close(app: App, lease: TrialLease, left: int, deps: DeliverDependencies) -> NextStep:
    if not circuits.close_circuit(app.app_id, lease.token, deps.time(), left):
        return _left_undone(app, lease.number, deps.circuits.read(app), deps)
    deps.circuits.forget(app.app_id)
    deps.telemetry.info(
        "pause over: what is parked is released, and deliveries go out slowly at first", app_id=app.app_id
    )
    deps.telemetry.count("PauseEnded")
    return NextStep(released=_key(app))


def _end(app: App, lease: TrialLease, wait: float, deps: DeliverDependencies) -> NextStep:
    if not circuits.end_trial(app.app_id, lease.token, lease.number, deps.time() + wait):
        return _left_undone(app, lease.number, deps.circuits.read(app), deps)
    return _next_trial(app, lease.number + 1, wait)


def _next_trial(app: App, number: int, wait: float) -> NextStep:
    return NextStep(trial=(Trial(*_key(app), number), _whole(wait)))


def _key(app: App) -> tuple[str, int]:
    return app.app_id, int(app.generation)


def _send(message: Trial, seconds: float, deps: DeliverDependencies) -> None:
    deps.scheduler.send_trial(message, _whole(seconds))


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
