"""A batch of deliveries: the posts run side by side, and then everything is written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bellhop import deliveries, outcomes, successes
from bellhop.attempts import Attempt
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import OutcomeDelta
from deliver.attempt import chain, ending, ping, verdict
from deliver.attempt.verdict import Fate
from deliver.circuit import admission
from deliver.dependencies import DeliverDependencies, InternalError, Job
from deliver.http.response import SendFailure
from deliver.posting import Made, Workers, post_all

SHOWN = ("event_id", "delivery_id", "n", "status", "ms")  # of a success, in the log line


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A queue message, read."""

    message_id: str
    receive_count: int
    message: Delivery | Retry

    @property
    def ping(self) -> Delivery | None:
        """The ping that this message is, if it is one."""
        return self.message if isinstance(self.message, Delivery) and self.message.ping else None


@dataclass(frozen=True, slots=True)
class Success:
    """A delivery that was taken, as a row of the log; one that is `recorded` has that row in its record."""

    app_id: str
    row: dict[str, Any]
    recorded: bool


@dataclass(slots=True)
class Batch:
    """What a batch comes to: the messages that SQS must keep, what is counted, what is logged."""

    kept: list[str] = field(default_factory=list)
    deltas: list[OutcomeDelta] = field(default_factory=list)
    successes: list[Success] = field(default_factory=list)


def process(records: Iterable[dict[str, Any]], deps: DeliverDependencies, workers: Workers) -> list[str]:
    """Handle a batch; return the ids of the messages that SQS must keep.

    Policy: what an endpoint does is the delivery's affair and never keeps a message. A fault of ours keeps
    the one message it touched, and is never counted against the app. When the counters or the log of
    successes cannot be written, the deliveries stay done: sending webhooks twice would be worse.
    """
    batch = Batch()
    letters = _read_all(records, deps, batch)
    # Somebody waits for a ping, and it waits for nobody: neither pause nor pace are asked.
    jobs = _begin_some([letter for letter in letters if letter.ping], deps, batch)
    jobs += _begin_all(_by_app(letter for letter in letters if not letter.ping), deps, batch)
    for message_id, job, made in post_all(jobs, deps, workers):
        try:
            _end(job, made, deps, batch)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error("delivery kept", message_id=message_id, **job.names())
            batch.kept.append(message_id)
    deps.parking.count()
    _count(deps.buffer.due(batch.deltas), deps, workers.pause)
    _log_successes(batch.successes, deps)
    return sorted(batch.kept)


def _read_all(records: Iterable[dict[str, Any]], deps: DeliverDependencies, batch: Batch) -> list[QueueMessage]:
    letters = []
    for record in records:
        message_id = record["messageId"]
        try:
            count = int(record["attributes"]["ApproximateReceiveCount"])
            letters.append(QueueMessage(message_id, count, deliveries.decode(record["body"])))
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error("message kept: it cannot be read", message_id=message_id)
            batch.kept.append(message_id)
    return letters


def _by_app(letters: Iterable[QueueMessage]) -> dict[str, list[QueueMessage]]:
    apps: dict[str, list[QueueMessage]] = {}
    for letter in letters:
        apps.setdefault(letter.message.app_id, []).append(letter)
    return apps


def _begin_all(
    apps: dict[str, list[QueueMessage]], deps: DeliverDependencies, batch: Batch
) -> list[tuple[str, Job]]:
    jobs: list[tuple[str, Job]] = []
    for app_id, letters in apps.items():
        try:
            admitted, probe = admission.admit(deps.app(app_id), [x.message for x in letters], deps)
        except Exception:  # noqa: BLE001 - the registry or the circuits do not respond: this app's messages come back
            deps.telemetry.error("deliveries kept", app_id=app_id, number=len(letters))
            batch.kept += [letter.message_id for letter in letters]
            continue
        begun = _begin_some(letters[: admitted.count], deps, batch)
        jobs += [(message_id, replace(job, probe=probe)) for message_id, job in begun]
        late = letters[admitted.count :]
        failed = admission.put_off([(letter.message, letter.receive_count) for letter in late], admitted, deps)
        batch.kept += [late[position].message_id for position in failed]
    return jobs


def _begin_some(letters: Iterable[QueueMessage], deps: DeliverDependencies, batch: Batch) -> list[tuple[str, Job]]:
    jobs = []
    for letter in letters:
        try:
            job = _begin(letter, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            delivery_id = letter.message.delivery_id
            deps.telemetry.error("delivery kept", message_id=letter.message_id, delivery_id=delivery_id)
            batch.kept.append(letter.message_id)
        else:
            jobs += [(letter.message_id, job)] if job else []
    return jobs


def _begin(letter: QueueMessage, deps: DeliverDependencies) -> Job | None:
    if letter.ping:
        return ping.begin(letter.ping, deps)
    return chain.begin(letter.message, letter.receive_count, deps)


def _end(job: Job, made: Made | Exception | None, deps: DeliverDependencies, batch: Batch) -> None:
    if isinstance(made, Exception):
        raise made
    if job.delivery.ping:
        ping.conclude(job, made, deps)
        return
    if made is None:
        chain.give_back(job)
        raise InternalError("no time left in this invocation for another attempt")
    if made.outcome is None:
        admission.release(job, deps)
        return
    judged = verdict.judge(made.outcome, deps.now())
    attempt = _attempt(job.number, judged.result, made)
    admission.probed(job, deps, healthy=judged.fate is Fate.DONE)
    concluded = ending.conclude(job, judged, attempt, deps)
    if concluded.delta:
        batch.deltas.append(concluded.delta)
    ending.follow(concluded, deps)
    if judged.fate is Fate.DONE:
        row = attempt.row() | _success_names(job)
        batch.successes.append(Success(job.delivery.app_id, row, recorded=job.record is not None))


def _attempt(number: int, result: str, made: Made) -> Attempt:
    response = made.outcome
    if response is None or isinstance(response, SendFailure):
        said = response.detail if response else ""
        return Attempt(number, made.at, made.milliseconds, made.request_id, result, response=said)
    # A success keeps no body. A failure's is hostile: whatever is not UTF-8 is replaced.
    text = "" if response.ok else response.body.decode("utf-8", "replace")
    return Attempt(number, made.at, made.milliseconds, made.request_id, result, response.status, text)


def _success_names(job: Job) -> dict[str, Any]:
    delivery = job.delivery
    return {"event_id": delivery.event_id, "event": delivery.event, "delivery_id": delivery.delivery_id}


def _count(deltas: Sequence[OutcomeDelta], deps: DeliverDependencies, pause: Callable[[int], None]) -> None:
    for delta in deltas:
        try:
            row = outcomes.add(delta, pause)
        except Exception:  # noqa: BLE001 - see the policy of process()
            deps.telemetry.error("outcomes not counted", app_id=delta.app_id)
            deps.telemetry.count("OutcomesNotCounted")
            continue
        try:
            admission.counted(delta, row, deps)
        except Exception:  # noqa: BLE001 - the next failure that is counted looks again
            deps.telemetry.error("app not paused: the gate cannot be written", app_id=delta.app_id)


def _log_successes(taken: list[Success], deps: DeliverDependencies) -> None:
    if not taken:
        return
    shown = [[success.app_id, *(success.row[name] for name in SHOWN)] for success in taken]
    deps.telemetry.info("delivered", deliveries=shown)
    deps.telemetry.count("DeliverySucceeded", len(taken))
    at_once = [(success.app_id, success.row) for success in taken if not success.recorded]
    try:
        successes.pack(at_once, deps.token(), deps.now())
    except Exception:  # noqa: BLE001 - see the policy of process()
        deps.telemetry.error("successes not logged", number=len(at_once))
        deps.telemetry.count("SuccessesNotLogged")
