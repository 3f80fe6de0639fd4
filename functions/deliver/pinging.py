"""Pings: sent as every delivery is, and nothing else like one.

A ping goes out also while its app is off or paused, and neither waits nor paces. It is made once, never counted,
changes nothing about the app whatever the answer says, and always leaves a record, for which somebody waits.
"""

from collections.abc import Mapping
from datetime import timedelta

from bellhop import attempts
from bellhop.attempts import DELIVERED, STOPPED, Attempt, End
from bellhop.deliveries import Delivery
from deliver import chain, verdict
from deliver.answer import Answer, NoAnswer
from deliver.desk import Desk, Job, OursError, names
from deliver.posting import Made
from deliver.verdict import Fate

KEPT = timedelta(days=1)
KEPT_HEADER_BYTES = 4096  # names and values, of all headers of the answer

_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")


def begin(ping: Delivery, desk: Desk) -> Job | None:
    """The attempt to make; None when it was made already or its app is gone.

    Raises:
        OursError: the app has no secret.
    """
    # Looked up every time, however often SQS says it sent the message: whoever asks may ask twice after a crash.
    if attempts.load(ping.delivery_id):
        desk.telemetry.info("message dropped: the ping was made", **names(ping))
        desk.telemetry.count("DuplicateDropped")
        return None
    app = desk.app(ping.app_id)
    if app is None:
        chain.skip_missing_app(names(ping), desk)
        return None
    return Job(ping, 1, app, chain.keys_of(app, desk))


def conclude(job: Job, made: Made | None, desk: Desk) -> None:
    """Write what was answered; a worker that dies before that makes the ping again.

    Raises:
        OursError: there was no time or no slot for it; the message must come back.
    """
    if made is None or made.outcome is None:
        raise OursError("no time or no slot in this invocation for the ping")
    # By whether a webhook would be taken: what asks to be switched off is not well.
    answered = verdict.judge(made.outcome, desk.now()).fate is Fate.DONE
    attempt = _attempt(made, made.outcome)
    end = End(DELIVERED if answered else STOPPED, attempt=attempt)
    attempts.open_record(job.delivery, end, desk.now(), KEPT)
    desk.telemetry.info("ping answered", **job.names(), result=attempt.result, status=attempt.status)


def _attempt(made: Made, outcome: Answer | NoAnswer) -> Attempt:
    when = (1, made.at, made.milliseconds, made.request_id)
    if isinstance(outcome, NoAnswer):
        return Attempt(*when, outcome.kind, answer=outcome.detail)
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
