"""What the end of an attempt leads to: how it is written, what health counts of it, what comes next."""

from dataclasses import dataclass, replace
from datetime import UTC

from bellhop.attempts import DELIVERED, EXHAUSTED, RETRYING, STOPPED, Attempt, DeliveryRecord, End
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import Failure, Tally
from bellhop.queues import MAX_DELAY
from deliver import chain, exhausted, retry
from deliver.desk import Desk, Job
from deliver.gate import probe_interval
from deliver.verdict import Counter, Fate, Verdict

EVIDENCE_BYTES = 160  # of an answer in a counter row, which must stay within one write unit


@dataclass(frozen=True, slots=True)
class Concluded:
    """An attempt's end is written: what health is to count of it, and what is still to be said.

    Either the `reminder` of the next attempt, or that the record is `exhausted`, or nothing.
    """

    tally: Tally | None
    reminder: tuple[Retry, int] | None = None
    exhausted: DeliveryRecord | None = None


def conclude(job: Job, verdict: Verdict, attempt: Attempt, desk: Desk) -> Concluded:
    """Write how an attempt ended. Whoever calls this takes the tally, then has `follow` say what is to be said.

    When it cannot be said the message comes back and finds the record ahead: this is the tally's one chance.
    """
    concluded = Concluded(_tally(job, verdict, attempt))
    if verdict.fate is not Fate.DONE:
        return _conclude_badly(concluded, job, verdict, attempt, desk)
    if job.record:
        chain.write(job, End(DELIVERED, attempt=attempt), desk)
    return concluded


def follow(concluded: Concluded, desk: Desk) -> None:
    """Send the reminder of the next attempt, or announce that there is none."""
    if concluded.reminder:
        desk.remind(*concluded.reminder)
    if concluded.exhausted:
        exhausted.announce(concluded.exhausted, desk)


def _conclude_badly(concluded: Concluded, job: Job, verdict: Verdict, attempt: Attempt, desk: Desk) -> Concluded:
    end, wait = _end(job, verdict, attempt, desk)
    record = chain.write(job, end, desk)
    _say(job, attempt, end, desk, wait=wait)
    if record is None or end.state == STOPPED:
        return concluded
    if end.state == EXHAUSTED:
        return replace(concluded, exhausted=record)
    since = None if end.spends else job.waiting_since or desk.time()
    reminder = Retry(record.delivery_id, record.app_id, int(record.attempt) + 1, since)
    return replace(concluded, reminder=(reminder, wait))


def _say(job: Job, attempt: Attempt, end: End, desk: Desk, *, wait: int) -> None:
    desk.telemetry.info(
        "attempt failed",
        **job.names(),
        result=attempt.result,
        milliseconds=attempt.milliseconds,
        state=end.state,
        **({"probe": True} if job.probe else {}),
        **({"retry_in_seconds": wait} if end.state == RETRYING else {}),
    )
    desk.telemetry.count("AttemptFailed")
    if end.state != RETRYING:
        desk.telemetry.count("Delivery" + end.state.capitalize())


def _end(job: Job, verdict: Verdict, attempt: Attempt, desk: Desk) -> tuple[End, int]:
    wait = retry.delay(job.number, desk.policy.delays, verdict.not_before, desk.uniform)
    if verdict.fate is Fate.STOP:
        return End(STOPPED, attempt=attempt), 0
    if job.probe:  # a pause's probe is not the delivery's fault: it spends nothing, and is tried as the next
        until_next = probe_interval(job.probe.paused_since, desk.time())
        # By the queue's delay: a schedule is named by the attempt, which stays the same, and the one that led here
        # may still be there. Without the answer: probes of days must fit into the record.
        wait = min(MAX_DELAY, retry.jittered(max(verdict.not_before, until_next), desk.uniform))
        return End(RETRYING, desk.time() + wait, replace(attempt, answer=""), spends=False), wait
    if wait is None:
        return End(EXHAUSTED, attempt=attempt), 0
    return End(RETRYING, desk.time() + wait, attempt), wait


def _tally(job: Job, verdict: Verdict, attempt: Attempt) -> Tally | None:
    delivery = job.delivery
    if verdict.counter is Counter.NONE or not delivery.counts:
        return None
    day = attempt.at.astimezone(UTC).date()
    tally = Tally(delivery.app_id, delivery.organization_id, int(job.app.epoch), day)
    return tally.counting(verdict.counter, _failure(delivery, verdict, attempt))


def _failure(delivery: Delivery, verdict: Verdict, attempt: Attempt) -> Failure | None:
    if verdict.counter is Counter.SUCCESS:
        return None
    first_line = attempt.answer.partition("\n")[0].encode()[:EVIDENCE_BYTES].decode(errors="ignore")
    at = attempt.at.isoformat(timespec="seconds")
    named = (delivery.delivery_id, delivery.event_id, delivery.event)
    return Failure(at, *named, verdict.result, first_line)
