"""What stands on the Transitions queue: the follow-up of a transition, the steps of a replay and of a probe."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Do what is left to do after the transition of that audit entry."""

    app_id: str
    entry: str


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the next page of what an app's deliveries hold, oldest first.

    `states` are replayed, `rate` of them a second. `after` is the cursor, None at the beginning of a pass that
    began at `began` and has `found` so many. The replay ends with an empty pass that began at or after
    `settles_at`: by then nobody parks any more. Times are Unix seconds; `sent` is for the log.
    """

    app_id: str
    generation: int
    states: tuple[str, ...]
    rate: float
    settles_at: float
    began: float
    after: str | None = None
    found: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Look whether a disabled app's endpoint is well again.

    `number` counts the probes since it was switched off at `since`, and goes on counting where a probe switched it
    on in vain; the next step is due at `due`, both Unix seconds. `ping` is the delivery whose answer is waited
    for, None before it is sent.
    """

    app_id: str
    generation: int
    since: float
    due: float
    number: int = 1
    ping: str | None = None


@dataclass(frozen=True, slots=True)
class MailEvent:
    """SES's word on a mail after it took it: `kind` is "Bounce", "Complaint" or "Reject"."""

    kind: str
    detail: str
    recipients: tuple[str, ...]
    app_id: str
    entry: str


Message = FollowUp | Replay | Probe | MailEvent

_KINDS: dict[str, type[FollowUp | Replay | Probe]] = {"follow_up": FollowUp, "replay": Replay, "probe": Probe}


def encode(message: FollowUp | Replay | Probe) -> str:
    """The message as the text of a queue message."""
    [kind] = [name for name, made in _KINDS.items() if isinstance(message, made)]
    return json.dumps({"kind": kind} | asdict(message))


def decode(text: str) -> Message:
    """The inverse of `encode`; also reads what EventBridge forwards of SES.

    Raises:
        ValueError, KeyError, TypeError: none of these messages. Only a fault of ours can put one on the queue.
    """
    fields = json.loads(text)
    if fields.get("source") == "aws.ses":
        return _mail_event(fields["detail"])
    if "states" in fields:
        fields["states"] = tuple(fields["states"])
    return _KINDS[fields.pop("kind")](**fields)


def tags(app_id: str, entry: str) -> dict[str, str]:
    """What a mail carries so that SES's word on it finds its audit entry; SES allows no `#` in a tag."""
    return {"app": app_id.encode().hex(), "entry": entry.encode().hex()}


def _mail_event(detail: dict[str, Any]) -> MailEvent:
    # https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
    kind = detail["eventType"]
    said = detail.get(kind.lower(), {})
    reasons = (said.get(name) for name in ("bounceType", "bounceSubType", "complaintFeedbackType", "reason"))
    carried = {name: bytes.fromhex(values[0]).decode() for name, values in _carried(detail).items()}
    return MailEvent(
        kind,
        " ".join(filter(None, reasons)),
        tuple(detail["mail"]["destination"]),
        carried["app"],
        carried["entry"],
    )


def _carried(detail: dict[str, Any]) -> dict[str, list[str]]:
    return {name: detail["mail"]["tags"][name] for name in ("app", "entry")}
