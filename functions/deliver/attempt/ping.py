"""Pings: sent as every delivery is, and nothing else like one.

A ping goes out also while its app is off or paused, and neither waits nor paces. It is made once, never counted,
changes nothing about the app whatever the answer says, and always leaves a record, for which somebody waits.
"""

from collections.abc import Mapping
from datetime import timedelta

from bellhop import attempts
from bellhop.attempts import DELIVERED, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from deliver.attempt import chain, verdict
from deliver.attempt.verdict import Fate
from deliver.dependencies import DeliverDependencies, InternalError, Job, names
from deliver.http.response import Response, SendFailure
from deliver.posting import Made

KEPT = timedelta(days=1)
KEPT_HEADER_BYTES = 4096  # names and values, of all headers of the answer

_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def begin(ping: Delivery, deps: DeliverDependencies) -> Job | None:
    """The attempt to make; None when it was made already or its app is gone.

    Raises:
        InternalError: the app has no secret.
    """
    # Looked up every time, however often SQS says it sent the message: whoever asks may ask twice after a crash.
    if attempts.load(ping.delivery_id):
        deps.telemetry.info("message dropped: the ping was made", **names(ping))
        deps.telemetry.count("DuplicateDropped")
        return None
    app = deps.app(ping.app_id)
    if app is None:
        chain.skip_missing_app(names(ping), deps)
        return None
    return Job(ping, 1, app, chain.keys_of(app, deps))


def conclude(job: Job, made: Made | None, deps: DeliverDependencies) -> None:
    """Write what was answered; a worker that dies before that makes the ping again.

    Raises:
        InternalError: there was no time or no slot for it; the message must come back.
    """
    if made is None or made.outcome is None:
        raise InternalError("no time or no slot in this invocation for the ping")
    # By whether a webhook would be taken: what asks to be switched off is not well.
    answered = verdict.judge(made.outcome, deps.now()).fate is Fate.DONE
    attempt = _attempt(made, made.outcome)
    end = NextState(DELIVERED if answered else STOPPED, attempt=attempt)
    attempts.open_record(job.delivery, end, deps.now(), KEPT)
    deps.telemetry.info("ping answered", **job.names(), result=attempt.result, status=attempt.status)


def _attempt(made: Made, outcome: Response | SendFailure) -> Attempt:
    when = (1, made.at, made.milliseconds, made.request_id)
    if isinstance(outcome, SendFailure):
        return Attempt(*when, outcome.kind, response=outcome.detail)
    text = outcome.body.decode("utf-8", "replace")
    return Attempt(*when, f"http_{outcome.status}", outcome.status, text, bounded(outcome.headers))


def bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """An answer's headers as text that is safe to keep and show; cut off after `KEPT_HEADER_BYTES`."""
    kept: dict[str, str] = {}
    left = KEPT_HEADER_BYTES
    for name, value in headers.items():
        shown = _bytes(name)
        said = _bytes(value)[: max(0, left - len(shown))]
        left -= len(shown) + len(said)
        if left < 0:
            break
        kept[shown.decode()] = said.decode("utf-8", "ignore")
    return kept


def _bytes(text: str) -> bytes:
    # What was read as bytes may hold anything, also what UTF-8 has no bytes for.
    return text.translate(_CONTROL).encode("utf-8", "replace")
