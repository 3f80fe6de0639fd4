"""After an attempt: its result is written, counted for health, and followed by a retry or an announcement."""

from datetime import UTC

from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from bellhop.due import next_retry
from bellhop.outcomes import Failure, OutcomeDelta
from deliver.attempt import chain, retry
from deliver.attempt.verdict import Counter, Judgement, Verdict
from deliver.dependencies import DeliverDependencies, PendingAttempt
from deliver.next_step import NextStep

EVIDENCE_BYTES = 160  # of a response in a counter row, which must stay within one write unit


def write(pending: PendingAttempt, judgement: Judgement, attempt: Attempt, deps: DeliverDependencies) -> NextStep:
    """Write the result of an attempt; return what is to be sent next."""
    if judgement.verdict is not Verdict.DELIVERED:
        return _write_failure(pending, judgement, attempt, deps)
    if pending.record:
        chain.write(pending, NextState(DELIVERED, attempt=attempt), deps)
    return NextStep()


def defer(pending: PendingAttempt, wait: int, deps: DeliverDependencies) -> NextStep:
    """Have an attempt that was not made be made after `wait` seconds, with the retry budget untouched."""
    record = chain.write(pending, NextState(RETRYING, deps.time() + wait), deps)
    return NextStep((next_retry(record), wait)) if record else NextStep()


def outcome_delta(pending: PendingAttempt, judgement: Judgement, attempt: Attempt) -> OutcomeDelta | None:
    """What health is to count of an attempt; None when it does not count."""
    delivery = pending.delivery
    if judgement.counter is Counter.NONE or not delivery.counts:
        return None
    day = attempt.at.astimezone(UTC).date()
    delta = OutcomeDelta(delivery.app_id, delivery.organization_id, int(pending.app.generation), day)
    return delta.counting(judgement.counter, _evidence(delivery, judgement, attempt))


def _write_failure(
    pending: PendingAttempt, judgement: Judgement, attempt: Attempt, deps: DeliverDependencies
) -> NextStep:
    state, wait = _next_state(pending, judgement, attempt, deps)
    record = chain.write(pending, state, deps)
    if record:
        _log_failure(pending, attempt, state, deps, wait=wait)
    if record and state.state == RETRYING:
        return NextStep((next_retry(record), wait))
    return NextStep(exhausted=record if state.state == EXHAUSTED else None)


def _next_state(
    pending: PendingAttempt, judgement: Judgement, attempt: Attempt, deps: DeliverDependencies
) -> tuple[NextState, int]:
    """The state after a failed attempt, and the seconds until the next one."""
    if judgement.verdict is Verdict.STOP:
        return NextState(STOPPED, attempt=attempt), 0
    wait = retry.delay(pending.number, deps.policy.delays, judgement.not_before, deps.uniform)
    if wait is None:
        return NextState(EXHAUSTED, attempt=attempt, unannounced=pending.trial is not None), 0
    # A failed trial spends one attempt. Its delivery goes back to the parked ones, at the place where its retry
    # would be due. A trial's message names no delivery, so if the worker died, nothing would find one that is off
    # the list.
    return NextState(PARKED if pending.trial else RETRYING, deps.time() + wait, attempt), wait


def _log_failure(
    pending: PendingAttempt, attempt: Attempt, state: NextState, deps: DeliverDependencies, *, wait: int
) -> None:
    deps.telemetry.info(
        "attempt failed",
        **pending.names(),
        result=attempt.result,
        milliseconds=attempt.milliseconds,
        state=state.state,
        **({"trial": True} if pending.trial else {}),
        **({"retry_in_seconds": wait} if state.state in {RETRYING, PARKED} else {}),
    )
    deps.telemetry.count("AttemptFailed")
    if state.state == STOPPED:
        deps.telemetry.count("DeliveryStopped")
    elif state.state == EXHAUSTED:
        deps.telemetry.count("DeliveryExhausted")


def _evidence(delivery: Delivery, judgement: Judgement, attempt: Attempt) -> Failure | None:
    if judgement.counter is Counter.SUCCESS:
        return None
    first_line = attempt.response.partition("\n")[0].encode()[:EVIDENCE_BYTES].decode(errors="ignore")
    at = attempt.at.isoformat(timespec="seconds")
    named = (delivery.delivery_id, delivery.event_id, delivery.event)
    return Failure(at, *named, judgement.result, first_line)
