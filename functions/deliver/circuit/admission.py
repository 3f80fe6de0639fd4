"""Whether a delivery may go out now, and what happens to it where it may not.

- Its app is switched off: it is parked, to be released or replayed later.
- Its app is paused, starts slowly after a pause, or is over its rate: it is deferred. A first attempt that is
  deferred gets its record; after that only its retry message is sent again, through the Retries queue, without
  touching the record. It is deferred for at most as long as its retries would have taken; then it is exhausted,
  and can be replayed like everything that is.

Neither spends any of the retry budget.
"""

from collections.abc import Sequence
from dataclasses import replace

from bellhop import attempts, circuits
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.queues import MAX_DELAY
from bellhop.registry import DISABLED, App
from deliver.attempt import chain, retry
from deliver.circuit import rate
from deliver.circuit.rate import Admission, CircuitState
from deliver.dependencies import DeliverDependencies, InternalError, PendingAttempt, Trial, names

RESERVATIONS = 3  # attempts to reserve the app's rate while other workers reserve theirs


def admit(
    app: App | None, messages: Sequence[Delivery | Retry], deps: DeliverDependencies
) -> tuple[Admission, Trial | None]:
    """How many of an app's messages may go now; with a Trial, the one that may is the trial of a paused app.

    Those of a switched-off app are all admitted: `park` takes them, once their attempts are claimed.
    """
    wanted = len(messages)
    if app is None or app.state == DISABLED or not _needs_circuit(app, messages, deps):
        return Admission(wanted), None
    for _ in range(RESERVATIONS):
        now = deps.time()
        state = _state(circuits.load(app.app_id), int(app.generation))
        _update_window(app.app_id, state, deps)
        admission = rate.admit(state, wanted, app.max_per_second, now)
        if admission.paused_since is not None:
            return _claim_trial(app, admission, admission.paused_since, deps)
        if admission.tat is None or circuits.advance(app.app_id, state.tat, admission.tat):
            return admission, None
    return Admission(0, 1.0), None


def park(pending: PendingAttempt, deps: DeliverDependencies) -> None:
    """Park the delivery of a switched-off app, with its budget untouched.

    An exhausted delivery that comes back by a replay is parked like the rest: that keeps it replayable. Policy:
    beyond the limit a first attempt is skipped and logged. A retry is always parked: its record is there already.
    """
    if pending.record is None and deps.parking.full(pending.app):
        deps.telemetry.warning("delivery skipped: parking is full", **pending.names(), limit=deps.parking.limit)
        deps.telemetry.count("ParkingFull")
        return
    if chain.write(pending, NextState(PARKED), deps):
        deps.parking.note(pending.app)
        deps.telemetry.info("delivery parked: the app is switched off", **pending.names())
        deps.telemetry.count("DeliveryParked")


def defer(
    messages: Sequence[tuple[Delivery | Retry, int]], admission: Admission, deps: DeliverDependencies
) -> list[int]:
    """Defer messages, each with its receive count, one after the other at the admission's rate.

    Returns the positions of those that could not be deferred, and whose messages must come back.
    """
    failed = []
    for position, (message, receive_count) in enumerate(messages):
        wait = _jittered(admission.wait + (position + 1) / admission.rate, deps)
        try:
            _defer(message, receive_count, wait, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "delivery not deferred: the queue will deliver its message again",
                app_id=message.app_id,
                delivery_id=message.delivery_id,
            )
            failed.append(position)
    return failed


def finish_trial(pending: PendingAttempt, deps: DeliverDependencies, *, succeeded: bool) -> None:
    """Write what a trial showed: the pause ends with a slow start, or the next trial is later."""
    if pending.trial is None:
        return
    app_id, now = pending.app.app_id, deps.time()
    if succeeded:
        circuits.close_circuit(app_id, pending.trial.lease, now)
        deps.telemetry.info("pause over: the app's deliveries start slowly", **pending.names())
        deps.telemetry.count("PauseEnded")
    else:
        next_trial_at = now + rate.trial_interval(pending.trial.paused_since, now)
        circuits.trial_failed(app_id, pending.trial.lease, next_trial_at)


def pause_if_failing(delta: OutcomeDelta, row: OutcomeDay, deps: DeliverDependencies) -> None:
    """Pause an app if its counters, to which `delta` was just added, show that it fails too much."""
    if not deps.window.add(delta, row):
        return
    now = deps.time()
    if circuits.open_circuit(delta.app_id, delta.generation, now, now + rate.TRIAL_SECONDS):
        deps.telemetry.warning(
            "app paused, half of its attempts fail: its deliveries are deferred, and one is tried now and then",
            app_id=delta.app_id,
        )
        deps.telemetry.count("PauseBegan")


def _needs_circuit(app: App, messages: Sequence[Delivery | Retry], deps: DeliverDependencies) -> bool:
    # A deferred message tells of a pause also a process that has seen nothing of it yet.
    deferred = any(isinstance(message, Retry) and message.deferred_since for message in messages)
    return deferred or bool(app.max_per_second) or deps.window.suspects(app.app_id)


def _update_window(app_id: str, state: CircuitState, deps: DeliverDependencies) -> None:
    if state.paused_since is not None:
        deps.window.suspect(app_id)
    if state.closed_at is not None:  # failures before the pause tell nothing about what comes after it
        deps.window.forget(app_id, before=state.closed_at)


def _claim_trial(
    app: App, admission: Admission, paused_since: float, deps: DeliverDependencies
) -> tuple[Admission, Trial | None]:
    lease = deps.token()
    if circuits.claim_trial(app.app_id, lease, deps.time(), deps.policy.lease):
        return admission, Trial(lease, paused_since)
    return Admission(0, admission.wait), None


def _jittered(seconds: float, deps: DeliverDependencies) -> int:
    return min(retry.jittered(min(seconds, MAX_DELAY), deps.uniform), MAX_DELAY)


def _defer(message: Delivery | Retry, receive_count: int, wait: int, deps: DeliverDependencies) -> None:
    deps.telemetry.count("DeliveryDeferred")
    if isinstance(message, Delivery):
        _defer_first(message, receive_count, wait, deps)
    else:
        _defer_retry(message, wait, deps)


def _defer_first(delivery: Delivery, receive_count: int, wait: int, deps: DeliverDependencies) -> None:
    if chain.already_recorded(delivery, receive_count, deps):
        return
    if attempts.open_record(delivery, NextState(RETRYING, deps.time() + wait), deps.now()):
        deps.telemetry.info(
            "delivery deferred: its app is paused or over its rate", **names(delivery), seconds=wait
        )
    deps.scheduler.send(Retry(delivery.delivery_id, delivery.app_id, 1, deps.time()), wait)


def _defer_retry(message: Retry, wait: int, deps: DeliverDependencies) -> None:
    since = message.deferred_since or deps.time()
    if deps.time() - since <= deps.policy.span:
        deps.scheduler.send(replace(message, deferred_since=since), wait)
        return
    record = chain.claim(message, deps)
    if record is None:
        return
    if not attempts.finish(record, NextState(EXHAUSTED), deps.now()):
        # The write is ours and its response was lost, or another worker is ahead. The message comes back and finds
        # in the record what is left to announce.
        raise InternalError(f"{message.delivery_id} was not written as exhausted under this lease")
    deps.telemetry.warning(
        "delivery exhausted: it was deferred for as long as its retries take", **names(record.delivery)
    )
    deps.telemetry.count("DeliveryExhausted")
    chain.announce_exhausted(record, deps)


def _state(row: Circuit, generation: int) -> CircuitState:
    def seconds(value: float | None) -> float | None:
        return None if value is None else float(value)

    return CircuitState(
        circuits.paused_since(row, generation),
        seconds(row.next_trial_at) or 0.0,
        seconds(row.trial_lease_until),
        seconds(row.closed_at),
        seconds(row.tat),
    )
