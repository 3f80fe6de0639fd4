"""The circuit of an app's endpoint: whether it is open, who makes its trial, how fast deliveries may go out.

An app has a row only if its endpoint was unwell, or if it has a rate limit or was switched off. Every change is
conditional, so that concurrent functions agree: one of them opens the circuit, one of them makes the trial.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.models import Model

from bellhop.lease import Lease
from bellhop.tables import change

AFTER_STOP = 0.001  # seconds from a stop by a clock that is ahead to what begins after it


class Circuit(Model):
    """What an app's endpoint allows. Times are Unix seconds.

    All but `tat`, `chain_until`, `slow_*` and what is said of replays is true in the app's `generation` only.

    `strikes`: how unwell the endpoint was since it last was well, the last time at `struck_at`; in deliveries of
    the organisations `struck_by`.
    `paused_since`: the circuit is open.
    `next_trial_at`: when the trial number `trials` may be made, counted from 0; `trial_lease` and
    `trial_lease_until` name the worker that makes it. `closed_at`: the last pause ended, and the slow start began.
    `tat`: in the slow start, the theoretical arrival time of the next delivery. `chain_until`: until then, the
    app's chain of messages on the Transitions queue, a release or recovery checks, is not taken for lost.
    The last replay began at `replay_began`, has sent `replay_sent` at `replay_rate` a second so far, and is over
    since `replay_ended`, if that is set; `replay_end` says why, if something is left. Those that began before
    `replay_stopped` were stopped by a person. Until `slow_until` the app stays on the list of slow apps,
    by a stay of `slow_seconds`.
    """

    class Meta:
        table_name = "circuits"

    app_id = UnicodeAttribute(hash_key=True)
    generation = NumberAttribute(null=True)
    strikes = NumberAttribute(null=True)
    struck_at = NumberAttribute(null=True)
    struck_by: UnicodeSetAttribute = UnicodeSetAttribute(null=True)
    paused_since = NumberAttribute(null=True)
    next_trial_at = NumberAttribute(null=True)
    trials = NumberAttribute(null=True)
    trial_lease = UnicodeAttribute(null=True)
    trial_lease_until = NumberAttribute(null=True)
    closed_at = NumberAttribute(null=True)
    tat = NumberAttribute(null=True)
    chain_until = NumberAttribute(null=True)
    replay_began = NumberAttribute(null=True)
    replay_sent = NumberAttribute(null=True)
    replay_rate = NumberAttribute(null=True)
    replay_ended = NumberAttribute(null=True)
    replay_end = UnicodeAttribute(null=True)
    replay_stopped = NumberAttribute(null=True)
    slow_until = NumberAttribute(null=True)
    slow_seconds = NumberAttribute(null=True)


class Share(Model):
    """What one organisation uses of an app, so that it cannot use up what others need. In the same table.

    And what `ALL` of them use of the app's first key.

    `tat`: under the app's rate limit, the theoretical arrival time of the organisation's next delivery. `parked`:
    how many of its deliveries were parked while the app was off in `parked_generation`. `listed_until`: what was
    reserved of its allowance under the app's first key lasts until then; see index_keys.py.
    """

    class Meta:
        table_name = "circuits"

    key = UnicodeAttribute(hash_key=True, attr_name="app_id")
    tat = NumberAttribute(null=True)
    parked = NumberAttribute(null=True)
    parked_generation = NumberAttribute(null=True)
    listed_until = NumberAttribute(null=True)


class SlowList(Model):
    """The one list of apps whose endpoints are slow. In the same table.

    `outage_until`: until when, in Unix seconds, our own network is taken to be down. It stands here because every
    process looks at the list.
    """

    class Meta:
        table_name = "circuits"

    key = UnicodeAttribute(hash_key=True, attr_name="app_id")
    apps: UnicodeSetAttribute = UnicodeSetAttribute(null=True)
    outage_until = NumberAttribute(null=True)

    @property
    def names(self) -> frozenset[str]:
        """The apps on the list."""
        return frozenset(self.apps or ())


ALL = "*"  # in place of an organisation's id, of which none has this form
SLOW_KEY = "#slow"  # no app's id has this form
MOST_SLOW = 2000  # apps on the list: a write of it costs a unit for each kilobyte
TRIAL_LEASE = Lease(Circuit.trial_lease_until, Circuit.trial_lease)


def load(app_id: str, *, consistent: bool = True) -> Circuit:
    """The circuit as it is now; one without a row is closed."""
    try:
        return Circuit.get(app_id, consistent_read=consistent)
    except Circuit.DoesNotExist:
        return Circuit(app_id)


def share_key(app_id: str, organization_id: str) -> str:
    """The key of the row of what an organisation uses of an app."""
    return f"{app_id}#{organization_id}"


def share(app_id: str, organization_id: str) -> Share:
    """What an organisation uses of an app now."""
    key = share_key(app_id, organization_id)
    try:
        return Share.get(key, consistent_read=True)
    except Share.DoesNotExist:
        return Share(key)


def paused_since(circuit: Circuit, generation: int) -> float | None:
    """Since when the circuit is open; what opened it in another generation ended with that."""
    known = circuit.paused_since is not None and circuit.generation == generation
    return float(circuit.paused_since) if known else None


def closed_at(circuit: Circuit, generation: int) -> float | None:
    """When the app's last pause ended, and the slow start began; None where it had none in this generation."""
    known = circuit.closed_at is not None and circuit.generation == generation
    return float(circuit.closed_at) if known else None


def chain_until(circuit: Circuit) -> float | None:
    """Until when the app's chain on the Transitions queue is not taken for lost; None where it never said so."""
    return float(circuit.chain_until) if circuit.chain_until is not None else None


def is_paused(app_id: str, generation: int) -> bool:
    """Whether the circuit is open now."""
    return paused_since(load(app_id), generation) is not None


def strike(
    app_id: str, generation: int, strikes: int, by: Collection[str], *, now: float, seconds: float
) -> Circuit:
    """Add strikes `by` organisations' deliveries to those of the last `seconds`.

    Returns the circuit with what all functions added.

    In a newer generation nothing is added, nor in a pause whose last strike is older than that.
    """
    circuit, this = Circuit(app_id), Circuit.generation == generation
    old = Circuit.generation.does_not_exist() | (Circuit.generation < generation)
    struck = Circuit.struck_at.set(now)
    added = [Circuit.strikes.add(strikes), Circuit.struck_by.add(set(by)), struck]
    first = [Circuit.strikes.set(strikes), Circuit.struck_by.set(set(by)), struck]
    # The first of a generation begins the count. Where another began it meanwhile, ours are added the second time.
    for _ in range(2):
        if change(circuit, added, this & (Circuit.struck_at >= now - seconds)):
            return circuit
        lapsed = this & Circuit.paused_since.does_not_exist()
        lapsed &= Circuit.struck_at.does_not_exist() | (Circuit.struck_at < now - seconds)
        if change(circuit, first, lapsed):
            return circuit
        gone = [Circuit.paused_since.remove(), Circuit.next_trial_at.remove()]
        if change(circuit, [*_begun(generation), *first, *gone], old):
            return circuit
    return load(app_id)


def clear(app_id: str, generation: int) -> None:
    """Take all strikes back, unless they have opened the circuit: then only a trial closes it."""
    struck = (Circuit.generation == generation) & Circuit.paused_since.does_not_exist()
    change(Circuit(app_id), [Circuit.strikes.remove(), Circuit.struck_by.remove()], struck)


def open_circuit(app_id: str, generation: int, now: float, next_trial_at: float) -> bool:
    """Pause the app; False when it is paused already."""
    begun = [*_begun(generation), Circuit.paused_since.set(now), Circuit.next_trial_at.set(next_trial_at)]
    closed = Circuit.paused_since.does_not_exist() & ~(Circuit.generation > generation)
    return change(Circuit(app_id), begun, closed | (Circuit.generation < generation))


def claim_trial(app_id: str, generation: int, number: int, lease: str, *, now: float, seconds: float) -> bool:
    """Take the trial `number` for `seconds`; False when another worker has or had it, or it is too early."""
    due = Circuit.paused_since.exists() & (Circuit.generation == generation) & (Circuit.next_trial_at <= now)
    # A circuit that the version before opened does not count its trials.
    this = Circuit.trials == number if number else (Circuit.trials == 0) | Circuit.trials.does_not_exist()
    free = TRIAL_LEASE.free(now, lease)
    return change(Circuit(app_id), TRIAL_LEASE.take(now + seconds, lease), due & this & free)


def end_trial(app_id: str, lease: str, number: int, next_trial_at: float) -> bool:
    """Have the next trial after `number` at that time; False when the lease was lost meanwhile."""
    actions = [Circuit.trials.set(number + 1), Circuit.next_trial_at.set(next_trial_at), *TRIAL_LEASE.release()]
    return change(Circuit(app_id), actions, Circuit.trial_lease == lease)


def release_trial(app_id: str, lease: str) -> bool:
    """Undo the claim of a trial; False when the lease was lost meanwhile."""
    return change(Circuit(app_id), TRIAL_LEASE.release(), Circuit.trial_lease == lease)


def postpone_trial(app_id: str, before: float, after: float) -> bool:
    """Move a trial that nobody makes from `before` to `after`; False when another worker did something first."""
    unmoved = Circuit.paused_since.exists() & (Circuit.next_trial_at == before)
    return change(Circuit(app_id), [Circuit.next_trial_at.set(after)], unmoved & TRIAL_LEASE.free(after))


def close_circuit(app_id: str, lease: str, now: float, strikes: int = 0) -> bool:
    """End the pause and begin the slow start, with so many strikes; False when the lease was lost meanwhile."""
    gone: list[Any] = [Circuit.paused_since, Circuit.next_trial_at, Circuit.trials, Circuit.tat, Circuit.struck_by]
    actions = [
        Circuit.closed_at.set(now),
        Circuit.strikes.set(strikes),
        Circuit.struck_at.set(now),
        *(each.remove() for each in gone),
    ]
    return change(Circuit(app_id), [*actions, *TRIAL_LEASE.release()], Circuit.trial_lease == lease)


def note_chain(app_id: str, until: float) -> None:
    """Note that a release, or recovery checks, of the app go on: until then their chain is not taken for lost."""
    Circuit(app_id).update(actions=[Circuit.chain_until.set(until)])


def note_replay(app_id: str, until: float, began: float, sent: int, rate: float) -> None:
    """Note how far a replay that began then is, and until when its chain is not taken for lost."""
    actions: list[Any] = [
        Circuit.chain_until.set(until),
        Circuit.replay_began.set(began),
        Circuit.replay_sent.set(sent),
        Circuit.replay_rate.set(rate),
        Circuit.replay_ended.remove(),
    ]
    Circuit(app_id).update(actions=actions)


def end_replay(app_id: str, began: float, sent: int, now: float, reason: str | None = None) -> None:
    """Note that a replay that began then is over, and why if something is left; nothing where another goes on."""
    over = [
        Circuit.replay_began.set(began),
        Circuit.replay_sent.set(sent),
        Circuit.replay_ended.set(now),
        Circuit.replay_end.set(reason) if reason else Circuit.replay_end.remove(),
    ]
    this = Circuit.replay_began.does_not_exist() | (Circuit.replay_began == began)
    change(Circuit(app_id), over, this)


def stop_replays(app_id: str, at: float) -> None:
    """Have every replay of the app that began until then end at its next step."""
    Circuit(app_id).update(actions=[Circuit.replay_stopped.set(at)])


def stop_time(circuit: Circuit, now: float) -> float:
    """When a stop that is made now is taken to be made: after what clocks that are ahead began and stopped."""
    return max(now, float(circuit.replay_began or 0.0), replays_stopped(circuit) + 2 * AFTER_STOP)


def replays_stopped(circuit: Circuit) -> float:
    """When a person last stopped the app's replays; 0 where nobody did."""
    return float(circuit.replay_stopped or 0.0)


def begin_after_stop(circuit: Circuit, now: float) -> float | None:
    """When a replay that begins now is taken to begin, if a person stopped replays by a clock that is ahead.

    None where it is simply now. A stop ends what began before it, and must not end what comes after it. It is
    noted at once: if the replay's first message is lost, the sweep must not take it for stopped.
    """
    stopped = replays_stopped(circuit)
    if stopped < now:
        return None
    began = stopped + AFTER_STOP
    noted: list[Any] = [Circuit.replay_began.set(began), Circuit.replay_sent.set(0), Circuit.replay_ended.remove()]
    Circuit(circuit.app_id).update(actions=noted)
    return began


def advance(row: Circuit | Share, before: float | None, after: float) -> bool:
    """Move the theoretical arrival time from `before` to `after`; False when another worker moved it meanwhile."""
    tat = type(row).tat
    return change(row, [tat.set(after)], tat.does_not_exist() if before is None else tat == before)


def slow_list() -> SlowList:
    """The list as it is now."""
    try:
        return SlowList.get(SLOW_KEY)
    except SlowList.DoesNotExist:
        return SlowList(SLOW_KEY)


def list_slow(app_ids: Iterable[str]) -> frozenset[str]:
    """Put apps on that list; returns it. A list that is full begins anew: those that are still slow come back."""
    row = SlowList(SLOW_KEY)
    row.update(actions=[SlowList.apps.add(set(app_ids))])
    if len(row.apps or ()) > MOST_SLOW:
        row.update(actions=[SlowList.apps.remove()])
    return row.names


def unlist_slow(app_ids: Iterable[str]) -> frozenset[str]:
    """Take apps off that list; returns it."""
    row = SlowList(SLOW_KEY)
    row.update(actions=[SlowList.apps.delete(set(app_ids))])
    return row.names


def keep_slow(circuit: Circuit, until: float, seconds: float) -> bool:
    """Keep an app on that list until then, by a stay of so long; False where that changed since it was read."""
    actions = [Circuit.slow_until.set(until), Circuit.slow_seconds.set(seconds)]
    before = circuit.slow_until
    unmoved = Circuit.slow_until.does_not_exist() if before is None else Circuit.slow_until == before
    return change(Circuit(circuit.app_id), actions, unmoved)


def declare_outage(until: float) -> None:
    """Have all functions take our network to be down until then, in Unix seconds."""
    SlowList(SLOW_KEY).update(actions=[SlowList.outage_until.set(until)])


def end_outage(until: float) -> None:
    """Take back the outage that was declared until then, if no other was declared meanwhile."""
    change(SlowList(SLOW_KEY), [SlowList.outage_until.remove()], SlowList.outage_until == until)


def count_parked(app_id: str, organization_id: str, generation: int, number: int) -> int:
    """Count `number` deliveries of an organisation as parked in `generation`; the total of that generation.

    When a newer generation has begun, nothing is counted, and the total is `number`.
    """
    row = Share(share_key(app_id, organization_id))
    for _ in range(2):  # as in strike()
        if change(row, [Share.parked.add(number)], Share.parked_generation == generation):
            return int(row.parked)
        begun = [Share.parked_generation.set(generation), Share.parked.set(number)]
        older = Share.parked_generation.does_not_exist() | (Share.parked_generation < generation)
        if change(row, begun, older):
            return number
    return number


def reserve_listing(name: str, now: float, seconds: float, ahead: float) -> bool:
    """Reserve so many seconds of an allowance; False where more than `ahead` of now would be reserved.

    By one write where others reserve too, and no process loses a race to another.
    """
    row, until = Share(name), Share.listed_until
    added = partial(change, row, [until.add(seconds)], until.between(now, now + ahead - seconds))
    begun = partial(change, row, [until.set(now + seconds)], until.does_not_exist() | (until < now))
    return added() or begun() or added()  # another process may have begun it meanwhile


def _begun(generation: int) -> list[Any]:
    """The update that begins a generation, or a pause: nothing of what was before counts in it."""
    gone = [Circuit.trials.remove(), Circuit.closed_at.remove(), *TRIAL_LEASE.release()]
    return [Circuit.generation.set(generation), *gone]
