"""A batch of deliveries: the posts run side by side, and then everything is written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bellhop import deliveries, outcomes, successes
from bellhop.attempts import Attempt
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import Tally
from deliver import chain, ending, pinging, verdict, waiting
from deliver.answer import NoAnswer
from deliver.desk import Desk, Job, OursError
from deliver.posting import Made, Workers, post_all
from deliver.verdict import Fate

SHOWN = ("event_id", "delivery_id", "n", "status", "ms")  # of a success, in the log line


@dataclass(frozen=True, slots=True)
class Letter:
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
    tallies: list[Tally] = field(default_factory=list)
    successes: list[Success] = field(default_factory=list)


def process(records: Iterable[dict[str, Any]], desk: Desk, workers: Workers) -> list[str]:
    """Handle a batch; return the ids of the messages that SQS must keep.

    Policy: what an endpoint does is the delivery's affair and never keeps a message. A fault of ours keeps
    the one message it touched, and is never counted against the app. When the counters or the log of
    successes cannot be written, the deliveries stay done: sending webhooks twice would be worse.
    """
    batch = Batch()
    letters = _read_all(records, desk, batch)
    # Somebody waits for a ping, and it waits for nobody: neither pause nor pace are asked.
    jobs = _begin_some([letter for letter in letters if letter.ping], desk, batch)
    jobs += _begin_all(_by_app(letter for letter in letters if not letter.ping), desk, batch)
    for message_id, job, made in post_all(jobs, desk, workers):
        try:
            _end(job, made, desk, batch)
        except Exception:  # noqa: BLE001 - the record boundary
            desk.telemetry.error("delivery kept", message_id=message_id, **job.names())
            batch.kept.append(message_id)
    desk.parking.count()
    _count(desk.ledger.due(batch.tallies), desk, workers.pause)
    _log_successes(batch.successes, desk)
    return sorted(batch.kept)


def _read_all(records: Iterable[dict[str, Any]], desk: Desk, batch: Batch) -> list[Letter]:
    letters = []
    for record in records:
        message_id = record["messageId"]
        try:
            count = int(record["attributes"]["ApproximateReceiveCount"])
            letters.append(Letter(message_id, count, deliveries.decode(record["body"])))
        except Exception:  # noqa: BLE001 - the record boundary
            desk.telemetry.error("message kept: it cannot be read", message_id=message_id)
            batch.kept.append(message_id)
    return letters


def _by_app(letters: Iterable[Letter]) -> dict[str, list[Letter]]:
    apps: dict[str, list[Letter]] = {}
    for letter in letters:
        apps.setdefault(letter.message.app_id, []).append(letter)
    return apps


def _begin_all(apps: dict[str, list[Letter]], desk: Desk, batch: Batch) -> list[tuple[str, Job]]:
    jobs: list[tuple[str, Job]] = []
    for app_id, letters in apps.items():
        try:
            admission, probe = waiting.admit(desk.app(app_id), [x.message for x in letters], desk)
        except Exception:  # noqa: BLE001 - the registry or the gates do not answer: this app's messages come back
            desk.telemetry.error("deliveries kept", app_id=app_id, number=len(letters))
            batch.kept += [letter.message_id for letter in letters]
            continue
        begun = _begin_some(letters[: admission.count], desk, batch)
        jobs += [(message_id, replace(job, probe=probe)) for message_id, job in begun]
        late = letters[admission.count :]
        failed = waiting.put_off([(letter.message, letter.receive_count) for letter in late], admission, desk)
        batch.kept += [late[position].message_id for position in failed]
    return jobs


def _begin_some(letters: Iterable[Letter], desk: Desk, batch: Batch) -> list[tuple[str, Job]]:
    jobs = []
    for letter in letters:
        try:
            job = _begin(letter, desk)
        except Exception:  # noqa: BLE001 - the record boundary
            delivery_id = letter.message.delivery_id
            desk.telemetry.error("delivery kept", message_id=letter.message_id, delivery_id=delivery_id)
            batch.kept.append(letter.message_id)
        else:
            jobs += [(letter.message_id, job)] if job else []
    return jobs


def _begin(letter: Letter, desk: Desk) -> Job | None:
    if letter.ping:
        return pinging.begin(letter.ping, desk)
    return chain.begin(letter.message, letter.receive_count, desk)


def _end(job: Job, made: Made | Exception | None, desk: Desk, batch: Batch) -> None:
    if isinstance(made, Exception):
        raise made
    if job.delivery.ping:
        pinging.conclude(job, made, desk)
        return
    if made is None:
        chain.give_back(job)
        raise OursError("no time left in this invocation for another attempt")
    if made.outcome is None:
        waiting.release(job, desk)
        return
    judged = verdict.judge(made.outcome, desk.now())
    attempt = _attempt(job.number, judged.result, made)
    waiting.probed(job, desk, healthy=judged.fate is Fate.DONE)
    concluded = ending.conclude(job, judged, attempt, desk)
    if concluded.tally:
        batch.tallies.append(concluded.tally)
    ending.follow(concluded, desk)
    if judged.fate is Fate.DONE:
        row = attempt.row() | _success_names(job)
        batch.successes.append(Success(job.delivery.app_id, row, recorded=job.record is not None))


def _attempt(number: int, result: str, made: Made) -> Attempt:
    answer = made.outcome
    if answer is None or isinstance(answer, NoAnswer):
        said = answer.detail if answer else ""
        return Attempt(number, made.at, made.milliseconds, made.request_id, result, answer=said)
    # A success keeps no body. A failure's is hostile: whatever is not UTF-8 is replaced.
    text = "" if answer.ok else answer.body.decode("utf-8", "replace")
    return Attempt(number, made.at, made.milliseconds, made.request_id, result, answer.status, text)


def _success_names(job: Job) -> dict[str, Any]:
    delivery = job.delivery
    return {"event_id": delivery.event_id, "event": delivery.event, "delivery_id": delivery.delivery_id}


def _count(tallies: Sequence[Tally], desk: Desk, pause: Callable[[int], None]) -> None:
    for tally in tallies:
        try:
            row = outcomes.add(tally, pause)
        except Exception:  # noqa: BLE001 - see the policy of process()
            desk.telemetry.error("outcomes not counted", app_id=tally.app_id)
            desk.telemetry.count("OutcomesNotCounted")
            continue
        try:
            waiting.counted(tally, row, desk)
        except Exception:  # noqa: BLE001 - the next failure that is counted looks again
            desk.telemetry.error("app not paused: the gate cannot be written", app_id=tally.app_id)


def _log_successes(taken: list[Success], desk: Desk) -> None:
    if not taken:
        return
    shown = [[success.app_id, *(success.row[name] for name in SHOWN)] for success in taken]
    desk.telemetry.info("delivered", deliveries=shown)
    desk.telemetry.count("DeliverySucceeded", len(taken))
    at_once = [(success.app_id, success.row) for success in taken if not success.recorded]
    try:
        successes.pack(at_once, desk.token(), desk.now())
    except Exception:  # noqa: BLE001 - see the policy of process()
        desk.telemetry.error("successes not logged", number=len(at_once))
        desk.telemetry.count("SuccessesNotLogged")
