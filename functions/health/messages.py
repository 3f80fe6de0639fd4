"""The messages on the Transitions queue: follow-ups, SES events, steps of replays, resends, checks and sweeps."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from bellhop import replays
from bellhop.newer import UnknownKindError
from bellhop.registry import INTERNAL
from bellhop.replays import Replay
from bellhop.resend_jobs import ResendStep


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Do what is left to do after that transition."""

    app_id: str
    transition_id: str


@dataclass(frozen=True, slots=True)
class RecoveryCheck:
    """Check whether a switched-off app's endpoint works again.

    `number` counts the checks since the app was switched off at `since`; where a check switched an app on and it
    did not last, the count goes on. The next step is due at `due`. Both times are Unix seconds. `ping` is the id
    of the delivery whose result is awaited, None before it is sent.
    """

    app_id: str
    generation: int
    since: float
    due: float
    number: int = 1
    ping: str | None = None


@dataclass(frozen=True, slots=True)
class MailEvent:
    """What SES reports about a mail after taking it: `kind` is "Bounce", "Complaint" or "Reject"."""

    kind: str
    detail: str
    recipients: tuple[str, ...]
    app_id: str
    transition_id: str


@dataclass(frozen=True, slots=True)
class RetrySweep:
    """Send overdue retries again: those of one key of the index `due` after the other.

    `shard` counts the keys from the one with which this sweep began. `after` is the cursor, None at a key's
    beginning. `ends_at` (Unix seconds) is when the next sweep takes over, 0 where this one has not begun.
    """

    shard: int = 0
    after: dict[str, Any] | None = None
    ends_at: float = 0.0


@dataclass(frozen=True, slots=True)
class AppSweep:
    """Look whether messages of apps were lost: of an `app_kind`, from the id after `after` on, and so on."""

    app_kind: str = INTERNAL
    after: str | None = None


MAIL_EVENTS = ("Bounce", "Complaint", "Reject")

OwnMessage = FollowUp | Replay | ResendStep | RecoveryCheck | RetrySweep | AppSweep
Message = OwnMessage | MailEvent

_KINDS: dict[str, type[OwnMessage]] = {
    "follow_up": FollowUp,
    "replay": Replay,
    "resend": ResendStep,
    "recovery_check": RecoveryCheck,
    "retry_sweep": RetrySweep,
    "app_sweep": AppSweep,
}


def encode(message: OwnMessage) -> str:
    """The message as the body of a queue message: JSON with its `kind`."""
    if isinstance(message, Replay):
        return replays.encode(message)
    [kind] = [name for name, message_type in _KINDS.items() if isinstance(message, message_type)]
    return json.dumps({"kind": kind} | asdict(message))


def decode(text: str) -> Message:
    """The inverse of `encode`; also reads the SES events that EventBridge forwards. Ignores unknown fields.

    Raises:
        UnknownKindError: a newer version sent it.
        ValueError, KeyError, TypeError: none of these messages. Only a fault of ours can put one on the queue.
    """
    values = json.loads(text)
    if values.get("source") == "aws.ses":
        return _mail_event(values["detail"])
    if values["kind"] not in _KINDS:
        raise UnknownKindError(f"message of the kind {values['kind']!r}")
    kind = _KINDS[values["kind"]]
    known = {field.name: values[field.name] for field in fields(kind) if field.name in values}
    if "states" in known:
        known["states"] = tuple(known["states"])
    return kind(**known)


def tags(app_id: str, transition_id: str) -> dict[str, str]:
    """The tags of a mail, from which SES's later events are matched to its transition.

    In hexadecimal, because SES allows only letters, digits, `_` and `-` in a tag.
    Source: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
    """
    return {"app": app_id.encode().hex(), "transition": transition_id.encode().hex()}


def _mail_event(detail: dict[str, Any]) -> MailEvent:
    # https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
    kind = detail["eventType"]
    if kind not in MAIL_EVENTS:
        raise UnknownKindError(f"SES event of the kind {kind!r}")
    report = detail.get(kind.lower(), {})
    reasons = (report.get(name) for name in ("bounceType", "bounceSubType", "complaintFeedbackType", "reason"))
    return MailEvent(
        kind,
        " ".join(filter(None, reasons)),
        tuple(detail["mail"]["destination"]),
        _tag(detail, "app"),
        _tag(detail, "transition"),
    )


def _tag(detail: dict[str, Any], name: str) -> str:
    [value] = detail["mail"]["tags"][name]
    return bytes.fromhex(value).decode()
