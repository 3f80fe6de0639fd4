"""An SES that accepts mail or fails as told, and the transition that the mail is about."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from bellhop.registry import AuditEntry
from health.mail.links import Links
from health.transitions import disabled_id

ADA, BOB = "ada@acme.example", "bob@acme.example"
TRANSITION_ID = disabled_id(1)
LINKS = Links("https://t.example/{organization}/{app}/", "https://t.example/unsubscribe/{owner}")
EVIDENCE = {
    "rule": "fatal",
    "since": "2026-11-23",
    "url": "https://hooks.example/in",
    "days": [{"day": "2026-11-23", "success": 0, "error": 0, "timeout": 0, "fatal": 1}],
    "last_failure": None,
    "thresholds": {"timeouts_per_day": 1000, "error_days": 7, "pause_hours": 72},
}


@dataclass
class Ses:
    """Accepts every mail, unless it is told to fail."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    fail: Callable[[], Exception] | None = None

    def close(self) -> None:
        """Give up idle connections: there are none."""

    def send_email(self, **mail: Any) -> dict[str, str]:
        if self.fail:
            raise self.fail()
        self.sent.append(mail)
        return {"MessageId": "id"}

    def recipients(self) -> list[str]:
        return [address for mail in self.sent for address in mail["Destination"]["ToAddresses"]]


def refusal(status: int = 400, code: str = "MessageRejected") -> Callable[[], Exception]:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return lambda: ClientError(response, "SendEmail")  # type: ignore[arg-type]


def disabled(transition_id: str = TRANSITION_ID, **changes: Any) -> AuditEntry:
    values = {
        "organization_id": "acme",
        "action": "app.disabled",
        "actor": "health",
        "at": "2026-11-23T12:00:00+00:00",
        "evidence": EVIDENCE,
        "mails": {ADA: "pending", BOB: "pending"},
    }
    return AuditEntry("pager", transition_id, **values | changes)


def entry(transition_id: str = TRANSITION_ID) -> AuditEntry:
    return AuditEntry.get("pager", transition_id, consistent_read=True)


def mails(transition_id: str = TRANSITION_ID) -> dict[str, str]:
    return dict(entry(transition_id).mails.attribute_values)
