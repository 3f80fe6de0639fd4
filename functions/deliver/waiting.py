"""Deliveries that may not go out now: their app is paused, starts slowly after a pause, or is over its rate.

Waiting spends no retry budget. A first attempt that is put off gets its record; after that only its reminder
goes round, through the Retries lane, without touching its record. It waits at most as long as its retries would
have taken, then it is exhausted, and can be replayed like everything that is.
"""

from collections.abc import Sequence
from dataclasses import replace

from bellhop import attempts, gates
from bellhop.attempts import EXHAUSTED, RETRYING, End
from bellhop.deliveries import Delivery, Retry
from bellhop.gates import Gate
from bellhop.outcomes import OutcomeDay, Tally
from bellhop.queues import MAX_DELAY
from bellhop.registry import DISABLED, App
from deliver import chain, exhausted, gate, retry
from deliver.desk import Desk, Job, OursError, Probe, names
from deliver.gate import Admission, State

TRIES = 3  # to move the pace while others move it too


def admit(app: App | None, messages: Sequence[Delivery | Retry], desk: Desk) -> tuple[Admission, Probe | None]:
    """How many of an app's messages may go now; with a Probe, the one that may is that."""
    wanted = len(messages)
    if app is None or app.state == DISABLED or not _guarded(app, messages, desk):
        return Admission(wanted), None
    for _ in range(TRIES):
        now = desk.time()
        state = _state(gates.load(app.app_id), int(app.epoch))
        _look(app.app_id, state, desk)
        admission = gate.admit(state, wanted, app.max_per_second, now)
        if admission.paused_since is not None:
            return _probe(app, admission, admission.paused_since, desk)
        if admission.tat is None or gates.take_time(app.app_id, state.tat, admission.tat):
            return admission, None
    return Admission(0, 1.0), None


def put_off(messages: Sequence[tuple[Delivery | Retry, int]], admission: Admission, desk: Desk) -> list[int]:
    """Send messages round, one after the other at the admission's rate; return which could not be."""
    failed = []
    for position, (message, receive_count) in enumerate(messages):
        wait = _round(admission.wait + (position + 1) / admission.rate, desk)
        try:
            _put_off(message, receive_count, wait, desk)
        except Exception:  # noqa: BLE001 - the record boundary
            desk.telemetry.error("delivery kept", app_id=message.app_id, delivery_id=message.delivery_id)
            failed.append(position)
    return failed


def release(job: Job, desk: Desk) -> None:
    """Send a job round that was begun and not attempted: its endpoint holds as many slots as it may.

    Raises:
        OursError: this write or another copy's is ahead, the record does not show which; the message comes back.
    """
    wait = _round(1.0, desk)
    if not chain.write(job, End(RETRYING, desk.time() + wait), desk):
        raise OursError(f"{job.delivery.delivery_id} could not be put off")
    since = job.waiting_since or desk.time()
    desk.remind(Retry(job.delivery.delivery_id, job.app.app_id, job.number, since), wait)
    desk.telemetry.count("DeliveryDeferred")


def probed(job: Job, desk: Desk, *, healthy: bool) -> None:
    """What a probe found: the pause ends with a slow start, or the next probe is put off."""
    if job.probe is None:
        return
    app_id, now = job.app.app_id, desk.time()
    if healthy:
        gates.recovered(app_id, job.probe.lease, now)
        desk.telemetry.info("pause over, starting slowly", **job.names())
        desk.telemetry.count("PauseEnded")
    else:
        gates.probe_failed(app_id, job.probe.lease, now + gate.probe_interval(job.probe.paused_since, now))


def counted(tally: Tally, row: OutcomeDay, desk: Desk) -> None:
    """Pause an app when what was just counted says that it fails too much."""
    if not desk.watch.note(tally, row):
        return
    now = desk.time()
    if gates.pause(tally.app_id, tally.epoch, now, now + gate.PROBE_SECONDS):
        desk.telemetry.warning("app paused: half of its attempts fail", app_id=tally.app_id)
        desk.telemetry.count("PauseBegan")


def _guarded(app: App, messages: Sequence[Delivery | Retry], desk: Desk) -> bool:
    # What waited says itself that the app was paused, also to a process that has seen nothing yet.
    waited = any(isinstance(message, Retry) and message.waiting_since for message in messages)
    return waited or bool(app.max_per_second) or desk.watch.look_closer(app.app_id)


def _look(app_id: str, state: State, desk: Desk) -> None:
    if state.paused_since is not None:
        desk.watch.keep(app_id)
    if state.recovered_at is not None:  # what failed before the pause says nothing about what comes after
        desk.watch.drop(app_id, before=state.recovered_at)


def _probe(app: App, admission: Admission, since: float, desk: Desk) -> tuple[Admission, Probe | None]:
    lease = desk.token()
    if gates.take_probe(app.app_id, lease, desk.time(), desk.policy.lease):
        return admission, Probe(lease, since)
    return Admission(0, admission.wait), None


def _round(seconds: float, desk: Desk) -> int:
    return min(retry.jittered(min(seconds, MAX_DELAY), desk.uniform), MAX_DELAY)


def _put_off(message: Delivery | Retry, receive_count: int, wait: int, desk: Desk) -> None:
    desk.telemetry.count("DeliveryDeferred")
    if isinstance(message, Delivery):
        _put_off_first(message, receive_count, wait, desk)
    else:
        _put_off_again(message, wait, desk)


def _put_off_first(delivery: Delivery, receive_count: int, wait: int, desk: Desk) -> None:
    if chain.known(delivery, receive_count, desk):
        return
    if attempts.open_record(delivery, End(RETRYING, desk.time() + wait), desk.now()):
        desk.telemetry.info("delivery waits for its app", **names(delivery), seconds=wait)
    desk.remind(Retry(delivery.delivery_id, delivery.app_id, 1, desk.time()), wait)


def _put_off_again(message: Retry, wait: int, desk: Desk) -> None:
    since = message.waiting_since or desk.time()
    if desk.time() - since <= desk.policy.span:
        desk.remind(replace(message, waiting_since=since), wait)
        return
    record = chain.claim(message, desk)
    if record is None:
        return
    if not attempts.finish(record, End(EXHAUSTED), desk.now()):
        # Ours, its answer lost, or another's: what comes back finds in the record what is left to say.
        raise OursError(f"the end of {message.delivery_id} was not written under this lease")
    desk.telemetry.warning("delivery exhausted: it waited as long as its retries take", **names(record.delivery))
    desk.telemetry.count("DeliveryExhausted")
    exhausted.announce(record, desk)


def _state(row: Gate, epoch: int) -> State:
    def seconds(value: float | None) -> float | None:
        return None if value is None else float(value)

    return State(
        gates.paused_since(row, epoch),
        seconds(row.next_probe) or 0.0,
        seconds(row.probe_until),
        seconds(row.recovered_at),
        seconds(row.tat),
    )
