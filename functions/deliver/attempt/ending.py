"""What the end of an attempt leads to: how it is written, what health counts of it, what comes next."""

from dataclasses import dataclass, replace
from datetime import UTC

from bellhop.attempts import DELIVERED, EXHAUSTED, RETRYING, STOPPED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.queues import MAX_DELAY
from deliver.attempt import chain, exhausted, retry
from deliver.attempt.verdict import Counter, Fate, Verdict
from deliver.circuit.rate import trial_interval
from deliver.dependencies import DeliverDependencies, Job

EVIDENCE_BYTES = 160  # of an answer in a counter row, which must stay within one write unit


@dataclass(frozen=True, slots=True)
class Concluded:
    """An attempt's end is written: what health is to count of it, and what is still to be said.

    Either the `reminder` of the next attempt, or that the record is `exhausted`, or nothing.
    """

    delta: OutcomeDelta | None
    reminder: tuple[Retry, int] | None = None
    exhausted: DeliveryRecord | None = None


def conclude(job: Job, verdict: Verdict, attempt: Attempt, deps: DeliverDependencies) -> Concluded:
    """Write how an attempt ended. Whoever calls this takes the delta, then has `follow` say what is to be said.

    When it cannot be said the message comes back and finds the record ahead: this is the delta's one chance.
    """
    concluded = Concluded(_delta(job, verdict, attempt))
    if verdict.fate is not Fate.DONE:
        return _conclude_badly(concluded, job, verdict, attempt, deps)
    if job.record:
        chain.write(job, NextState(DELIVERED, attempt=attempt), deps)
    return concluded


def follow(concluded: Concluded, deps: DeliverDependencies) -> None:
    """Send the reminder of the next attempt, or announce that there is none."""
    if concluded.reminder:
        deps.remind(*concluded.reminder)
    if concluded.exhausted:
        exhausted.announce(concluded.exhausted, deps)


def _conclude_badly(
    concluded: Concluded, job: Job, verdict: Verdict, attempt: Attempt, deps: DeliverDependencies
) -> Concluded:
    end, wait = _end(job, verdict, attempt, deps)
    record = chain.write(job, end, deps)
    _say(job, attempt, end, deps, wait=wait)
    if record is None or end.state == STOPPED:
        return concluded
    if end.state == EXHAUSTED:
        return replace(concluded, exhausted=record)
    since = None if end.spends else job.deferred_since or deps.time()
    reminder = Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1, since)
    return replace(concluded, reminder=(reminder, wait))


def _say(job: Job, attempt: Attempt, end: NextState, deps: DeliverDependencies, *, wait: int) -> None:
    deps.telemetry.info(
        "attempt failed",
        **job.names(),
        result=attempt.result,
        milliseconds=attempt.milliseconds,
        state=end.state,
        **({"probe": True} if job.probe else {}),
        **({"retry_in_seconds": wait} if end.state == RETRYING else {}),
    )
    deps.telemetry.count("AttemptFailed")
    if end.state != RETRYING:
        deps.telemetry.count("Delivery" + end.state.capitalize())


def _end(job: Job, verdict: Verdict, attempt: Attempt, deps: DeliverDependencies) -> tuple[NextState, int]:
    wait = retry.delay(job.number, deps.policy.delays, verdict.not_before, deps.uniform)
    if verdict.fate is Fate.STOP:
        return NextState(STOPPED, attempt=attempt), 0
    if job.probe:  # a pause's probe is not the delivery's fault: it spends nothing, and is tried as the next
        until_next = trial_interval(job.probe.paused_since, deps.time())
        # By the queue's delay: a schedule is named by the attempt, which stays the same, and the one that led here
        # may still be there. Without the response: probes of days must fit into the record.
        wait = min(MAX_DELAY, retry.jittered(max(verdict.not_before, until_next), deps.uniform))
        return NextState(RETRYING, deps.time() + wait, replace(attempt, response=""), spends=False), wait
    if wait is None:
        return NextState(EXHAUSTED, attempt=attempt), 0
    return NextState(RETRYING, deps.time() + wait, attempt), wait


def _delta(job: Job, verdict: Verdict, attempt: Attempt) -> OutcomeDelta | None:
    delivery = job.delivery
    if verdict.counter is Counter.NONE or not delivery.counts:
        return None
    day = attempt.at.astimezone(UTC).date()
    delta = OutcomeDelta(delivery.app_id, delivery.organization_id, int(job.app.generation), day)
    return delta.counting(verdict.counter, _failure(delivery, verdict, attempt))


def _failure(delivery: Delivery, verdict: Verdict, attempt: Attempt) -> Failure | None:
    if verdict.counter is Counter.SUCCESS:
        return None
    first_line = attempt.response.partition("\n")[0].encode()[:EVIDENCE_BYTES].decode(errors="ignore")
    at = attempt.at.isoformat(timespec="seconds")
    named = (delivery.delivery_id, delivery.event_id, delivery.event)
    return Failure(at, *named, verdict.result, first_line)
