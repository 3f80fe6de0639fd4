"""A batch of deliveries: the posts run side by side, everything that is written runs in one thread."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bellhop import attempts, deliveries, outcomes
from bellhop.attempts import Attempt
from bellhop.outcomes import Tally
from deliver import chain, signing, verdict
from deliver.answer import Answer, NoAnswer
from deliver.chain import Desk, Job
from deliver.verdict import Fate

SHOWN = ("event_id", "delivery_id", "n", "status", "ms")  # of a success, in the log line

Post = Callable[[str, dict[str, str], bytes], Answer | NoAnswer]


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was made."""

    outcome: Answer | NoAnswer
    at: datetime
    milliseconds: int
    request_id: str


@dataclass(frozen=True)
class Workers:
    """What makes the attempts: `may_start` says whether there is time left for another one."""

    pool: Executor
    post: Post
    may_start: Callable[[], bool]
    pause: Callable[[int], None]


def process(records: Iterable[dict[str, Any]], desk: Desk, workers: Workers) -> list[str]:
    """Handle a batch; return the ids of the messages that SQS must keep.

    Policy: what an endpoint does is the delivery's affair and never keeps a message. A fault of ours keeps
    the one message it touched, and nothing of it is counted against the app. When the counters or the log of
    successes cannot be written, the deliveries stay done: sending webhooks twice would be worse.
    """
    kept: list[str] = []
    jobs = _begin_all(records, desk, kept)
    running = {workers.pool.submit(_attempt, job, desk, workers): (mid, job) for mid, job in jobs}
    tallies: list[Tally] = []
    successes: list[tuple[str, dict[str, Any]]] = []
    for future in as_completed(running):
        message_id, job = running[future]
        try:
            _end(job, future, desk, tallies, successes)
        except Exception:  # noqa: BLE001 - the record boundary
            desk.telemetry.error("delivery kept", message_id=message_id, **job.names())
            kept.append(message_id)
    _count(outcomes.merge(tallies), desk, workers.pause)
    _log_successes(successes, desk)
    return sorted(kept)


def _begin_all(records: Iterable[dict[str, Any]], desk: Desk, kept: list[str]) -> list[tuple[str, Job]]:
    jobs = []
    for record in records:
        message_id = record["messageId"]
        try:
            message = deliveries.decode(record["body"])
            job = chain.begin(message, int(record["attributes"]["ApproximateReceiveCount"]), desk)
        except Exception:  # noqa: BLE001 - the record boundary
            desk.telemetry.error("delivery kept", message_id=message_id)
            kept.append(message_id)
        else:
            jobs += [(message_id, job)] if job else []
    return jobs


def _attempt(job: Job, desk: Desk, workers: Workers) -> Made | None:
    """Runs in a worker thread: signs and posts, touches nothing else. None when there is no time left."""
    if not workers.may_start():
        return None
    at, request_id = desk.now(), desk.token()
    headers = signing.headers(job.delivery, job.secret, request_id, int(at.timestamp()))
    outcome = workers.post(job.app.url, headers, job.delivery.body)
    return Made(outcome, at, round((desk.now() - at).total_seconds() * 1000), request_id)


def _end(
    job: Job,
    future: Future[Made | None],
    desk: Desk,
    tallies: list[Tally],
    successes: list[tuple[str, dict[str, Any]]],
) -> None:
    made = future.result()
    if made is None:
        chain.give_back(job)
        raise chain.OursError("no time left in this invocation for another attempt")
    judged = verdict.judge(made.outcome, desk.now())
    attempt = _attempt_row(job.number, judged.result, made)
    tally = chain.conclude(job, judged, attempt, desk)
    if tally:
        tallies.append(tally)
    if judged.fate is Fate.DONE:
        successes.append((job.delivery.app_id, attempt.row() | _success_names(job)))


def _attempt_row(number: int, result: str, made: Made) -> Attempt:
    answer = made.outcome
    if isinstance(answer, NoAnswer):
        return Attempt(number, made.at, made.milliseconds, made.request_id, result, answer=answer.detail)
    # A success keeps no body. A failure's is hostile: whatever is not UTF-8 is replaced.
    text = "" if answer.ok else answer.body.decode("utf-8", "replace")
    return Attempt(number, made.at, made.milliseconds, made.request_id, result, answer.status, text)


def _success_names(job: Job) -> dict[str, Any]:
    delivery = job.delivery
    return {"event_id": delivery.event_id, "event": delivery.event, "delivery_id": delivery.delivery_id}


def _count(tallies: Sequence[Tally], desk: Desk, pause: Callable[[int], None]) -> None:
    for tally in tallies:
        try:
            outcomes.add(tally, pause)
        except Exception:  # noqa: BLE001 - see the policy of process()
            desk.telemetry.error("outcomes not counted", app_id=tally.app_id)
            desk.telemetry.count("OutcomesNotCounted")


def _log_successes(successes: list[tuple[str, dict[str, Any]]], desk: Desk) -> None:
    if not successes:
        return
    desk.telemetry.info(
        "delivered",
        deliveries=[[app, *(row[name] for name in SHOWN)] for app, row in successes],
    )
    desk.telemetry.count("DeliverySucceeded", len(successes))
    try:
        # A retry's success is in its record already.
        attempts.pack([(app, row) for app, row in successes if row["n"] == 1], desk.token(), desk.now())
    except Exception:  # noqa: BLE001 - see the policy of process()
        desk.telemetry.error("successes not logged", number=len(successes))
        desk.telemetry.count("SuccessesNotLogged")
