"""Deliveries that may not go out now: their app is paused, starts slowly after a pause, or is over its rate.

Waiting spends no retry budget. A first attempt that is put off gets its record; after that only its reminder
goes round, through the Retries lane, without touching its record. It waits at most as long as its retries would
have taken, then it is exhausted, and can be replayed like everything that is.
"""

from collections.abc import Sequence
from dataclasses import replace

from bellhop import attempts, circuits
from bellhop.attempts import EXHAUSTED, RETRYING, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.queues import MAX_DELAY
from bellhop.registry import DISABLED, App
from deliver.attempt import chain, exhausted, retry
from deliver.circuit import rate
from deliver.circuit.rate import Admission, State
from deliver.dependencies import DeliverDependencies, InternalError, Job, Probe, names

TRIES = 3  # to move the pace while others move it too


def admit(
    app: App | None, messages: Sequence[Delivery | Retry], deps: DeliverDependencies
) -> tuple[Admission, Probe | None]:
    """How many of an app's messages may go now; with a Probe, the one that may is that."""
    wanted = len(messages)
    if app is None or app.state == DISABLED or not _guarded(app, messages, deps):
        return Admission(wanted), None
    for _ in range(TRIES):
        now = deps.time()
        state = _state(circuits.load(app.app_id), int(app.generation))
        _look(app.app_id, state, deps)
        admission = rate.admit(state, wanted, app.max_per_second, now)
        if admission.paused_since is not None:
            return _probe(app, admission, admission.paused_since, deps)
        if admission.tat is None or circuits.advance(app.app_id, state.tat, admission.tat):
            return admission, None
    return Admission(0, 1.0), None


def put_off(
    messages: Sequence[tuple[Delivery | Retry, int]], admission: Admission, deps: DeliverDependencies
) -> list[int]:
    """Send messages round, one after the other at the admission's rate; return which could not be."""
    failed = []
    for position, (message, receive_count) in enumerate(messages):
        wait = _round(admission.wait + (position + 1) / admission.rate, deps)
        try:
            _put_off(message, receive_count, wait, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error("delivery kept", app_id=message.app_id, delivery_id=message.delivery_id)
            failed.append(position)
    return failed


def release(job: Job, deps: DeliverDependencies) -> None:
    """Send a job round that was begun and not attempted: its endpoint holds as many slots as it may.

    Raises:
        InternalError: this write or another copy's is ahead, the record does not show which; the message comes back.
    """
    wait = _round(1.0, deps)
    if not chain.write(job, NextState(RETRYING, deps.time() + wait), deps):
        raise InternalError(f"{job.delivery.delivery_id} could not be put off")
    since = job.deferred_since or deps.time()
    deps.remind(Retry(job.delivery.delivery_id, job.app.app_id, job.number, since), wait)
    deps.telemetry.count("DeliveryDeferred")


def probed(job: Job, deps: DeliverDependencies, *, healthy: bool) -> None:
    """What a probe found: the pause ends with a slow start, or the next probe is put off."""
    if job.probe is None:
        return
    app_id, now = job.app.app_id, deps.time()
    if healthy:
        circuits.close_circuit(app_id, job.probe.lease, now)
        deps.telemetry.info("pause over, starting slowly", **job.names())
        deps.telemetry.count("PauseEnded")
    else:
        circuits.trial_failed(app_id, job.probe.lease, now + rate.trial_interval(job.probe.paused_since, now))


def counted(delta: OutcomeDelta, row: OutcomeDay, deps: DeliverDependencies) -> None:
    """Pause an app when what was just counted says that it fails too much."""
    if not deps.watch.note(delta, row):
        return
    now = deps.time()
    if circuits.open_circuit(delta.app_id, delta.generation, now, now + rate.TRIAL_SECONDS):
        deps.telemetry.warning("app paused: half of its attempts fail", app_id=delta.app_id)
        deps.telemetry.count("PauseBegan")


def _guarded(app: App, messages: Sequence[Delivery | Retry], deps: DeliverDependencies) -> bool:
    # What waited says itself that the app was paused, also to a process that has seen nothing yet.
    waited = any(isinstance(message, Retry) and message.deferred_since for message in messages)
    return waited or bool(app.max_per_second) or deps.watch.look_closer(app.app_id)


def _look(app_id: str, state: State, deps: DeliverDependencies) -> None:
    if state.paused_since is not None:
        deps.watch.keep(app_id)
    if state.closed_at is not None:  # what failed before the pause says nothing about what comes after
        deps.watch.drop(app_id, before=state.closed_at)


def _probe(
    app: App, admission: Admission, since: float, deps: DeliverDependencies
) -> tuple[Admission, Probe | None]:
    lease = deps.token()
    if circuits.claim_trial(app.app_id, lease, deps.time(), deps.policy.lease):
        return admission, Probe(lease, since)
    return Admission(0, admission.wait), None


def _round(seconds: float, deps: DeliverDependencies) -> int:
    return min(retry.jittered(min(seconds, MAX_DELAY), deps.uniform), MAX_DELAY)


def _put_off(message: Delivery | Retry, receive_count: int, wait: int, deps: DeliverDependencies) -> None:
    deps.telemetry.count("DeliveryDeferred")
    if isinstance(message, Delivery):
        _put_off_first(message, receive_count, wait, deps)
    else:
        _put_off_again(message, wait, deps)


def _put_off_first(delivery: Delivery, receive_count: int, wait: int, deps: DeliverDependencies) -> None:
    if chain.known(delivery, receive_count, deps):
        return
    if attempts.open_record(delivery, NextState(RETRYING, deps.time() + wait), deps.now()):
        deps.telemetry.info("delivery waits for its app", **names(delivery), seconds=wait)
    deps.remind(Retry(delivery.delivery_id, delivery.app_id, 1, deps.time()), wait)


def _put_off_again(message: Retry, wait: int, deps: DeliverDependencies) -> None:
    since = message.deferred_since or deps.time()
    if deps.time() - since <= deps.policy.span:
        deps.remind(replace(message, deferred_since=since), wait)
        return
    record = chain.claim(message, deps)
    if record is None:
        return
    if not attempts.finish(record, NextState(EXHAUSTED), deps.now()):
        # Ours, its answer lost, or another's: what comes back finds in the record what is left to say.
        raise InternalError(f"the end of {message.delivery_id} was not written under this lease")
    deps.telemetry.warning("delivery exhausted: it waited as long as its retries take", **names(record.delivery))
    deps.telemetry.count("DeliveryExhausted")
    exhausted.announce(record, deps)


def _state(row: Circuit, generation: int) -> State:
    def seconds(value: float | None) -> float | None:
        return None if value is None else float(value)

    return State(
        circuits.paused_since(row, generation),
        seconds(row.next_trial_at) or 0.0,
        seconds(row.trial_lease_until),
        seconds(row.closed_at),
        seconds(row.tat),
    )
