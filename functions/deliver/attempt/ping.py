"""Pings: sent as every delivery is, but treated otherwise before and after.

A ping goes out also while its app is off or paused, and no rate limits it. It is made once, it is never counted,
its result changes nothing about the app, and it always leaves a record, for which a person or a recovery check
waits.
"""

from datetime import timedelta

from bellhop import attempts
from bellhop.attempts import DELIVERED, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from deliver.attempt import chain, kept_headers, kept_response, verdict
from deliver.attempt.masking import Mask
from deliver.attempt.verdict import Verdict
from deliver.dependencies import DeliverDependencies, PendingAttempt, PostResult, names
from deliver.http.response import SendFailure

KEPT = timedelta(days=1)


def begin(ping: Delivery, deps: DeliverDependencies) -> PendingAttempt | None:
    """The attempt to make; None when it was made already or its app is gone.

    Raises:
        InternalError: the app has no secret.
    """
    # Looked up every time, however often SQS delivered the message: health may send a ping twice after a crash.
    if attempts.load(ping.delivery_id):
        deps.telemetry.info("duplicate message dropped: the ping was sent before", **names(ping))
        deps.telemetry.count("DuplicateDropped")
        return None
    return chain.first_attempt(ping, deps.registry.app(ping.app_id), deps)


def write_result(pending: PendingAttempt, result: PostResult, deps: DeliverDependencies) -> None:
    """Write the result of a ping. If the worker dies before that, the ping is sent again."""
    # Judged as a webhook would be: an endpoint that asks to be switched off is not well.
    delivered = verdict.judge(result.outcome, deps.now()).verdict is Verdict.DELIVERED
    attempt = _attempt(result, Mask(result.sent.keys))
    state = NextState(DELIVERED if delivered else STOPPED, attempt=attempt)
    attempts.open_record(pending.delivery, state, deps.now(), KEPT)
    deps.telemetry.info("ping sent", **pending.names(), result=attempt.result, status=attempt.status)


def _attempt(result: PostResult, mask: Mask) -> Attempt:
    when, outcome = (1, result.at, result.milliseconds, result.request_id), result.outcome
    if isinstance(outcome, SendFailure):
        return Attempt(*when, outcome.kind, response=kept_response.of_failure(outcome, mask))
    kept, headers = kept_response.of(outcome, mask), kept_headers.of_all(outcome.headers, mask)
    return Attempt(*when, f"http_{outcome.status}", outcome.status, kept.text, headers, long=kept.long)
