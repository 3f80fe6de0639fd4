"""An app that fails, is switched off and comes back: what the commands about health are tried on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from bellhop import attempts, deliveries, outcomes
from bellhop.attempts import DELIVERED, PARKED, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.registry import DISABLED, App, AuditEntry
from bellhop.secrets import SigningSecret
from health import messages
from tests.support.fakes import SECRET, app, delivery, installation, organization

ADA, BOB = "ada@acme.example", "bob@acme.example"
HOSTILE = "[red]boom[/red]\x1b]0;owned\x07\u202e\nmore"
ESCAPED = "[red]boom[/red]\\x1b]0;owned\\x07\\u202e"

DAY: dict[str, Any] = {"success": 0, "error": 0, "timeout": 0, "fatal": 0}
EVIDENCE: dict[str, Any] = {
    "rule": "timeouts",
    "since": "2026-11-21",
    "days": [DAY | {"day": "2026-11-21", "timeout": 1204}, DAY | {"day": "2026-11-22", "success": 3}],
    "thresholds": {"timeouts_per_day": 1000, "error_days": 7, "pause_hours": 72},
    "url": "https://hooks.example/in",
    "last_failure": {
        "at": "2026-11-22T11:59:00+00:00",
        "delivery_id": "msg_9",
        "event_id": "ev9",
        "event": "issue.created",
        "error": "http_410",
        "response": "gone",
    },
}


def register(**changes: Any) -> App:
    """The app `pager` of acme, whose owners are Ada and Bob."""
    organization(owners=[ADA, BOB]).save()
    installation().save()
    made = app(**changes)
    made.save()
    SigningSecret("pager", secret=SECRET).save()
    return made


def count(
    days_ago: int = 0, generation: int = 1, organization_id: str = "acme", response: str = "gone", **counts: int
) -> None:
    now = datetime.now(UTC)
    day = now.date() - timedelta(days=days_ago)
    failure = Failure(now.isoformat(), "msg_9", "ev9", "issue.created", "http_500", response)
    kept = failure if set(counts) - {"success"} else None
    outcomes.add(
        OutcomeDelta("pager", organization_id, generation, day, **counts, last_failure=kept), lambda _: None
    )


def switch_off(**changes: Any) -> AuditEntry:
    """As health does it, in generation 1, an hour ago."""
    App("pager").update(actions=[App.state.set(DISABLED), App.generation.set(2)])
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    values = {
        "organization_id": "acme",
        "action": "app.disabled",
        "actor": "health",
        "at": at,
        "evidence": EVIDENCE,
        "mails": {ADA: "sent", BOB: "unknown"},
        "announced_at": at,
        "finished_at": at,
    }
    entry = AuditEntry("pager", "00000001#disabled", **values | changes)
    entry.save()
    return entry


def state() -> tuple[str, int]:
    """Whether the app is on, and its generation."""
    found = App.get("pager", consistent_read=True)
    return found.state, int(found.generation)


def audit_entry(key: str) -> AuditEntry:
    return AuditEntry.get("pager", key, consistent_read=True)


def add_replayable(number: int, state: str = PARKED) -> None:
    """Deliveries that are parked or exhausted."""
    for made in range(number):
        attempts.open_record(delivery(delivery_id=f"msg_{state}_{made}"), NextState(state), datetime.now(UTC))


def announced(queue: str = "transitions") -> list[messages.Message]:
    """What was put on the Transitions queue since the last call."""
    return [messages.decode(body) for body in _bodies(queue)]


def _bodies(name: str) -> list[str]:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in found]


@dataclass
class Endpoint:
    """Gives each of its responses once, then the last one for ever. Records every request."""

    status: int | None = 200
    result: str = "http_200"
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/plain"})
    after: int = 2  # sleeps
    silent: bool = False
    pinged: list[Delivery] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.silent and len(self.slept) == self.after:
            for ping in map(deliveries.decode, _bodies("deliveries")):
                assert isinstance(ping, Delivery)
                self.pinged.append(ping)
                attempts.open_record(ping, NextState(self._state, attempt=self._attempt()), datetime.now(UTC))
            self.meanwhile()

    def clock(self) -> float:
        return sum(self.slept)

    def refuse(self, status: int, body: str = "") -> None:
        self.status, self.result, self.body = status, f"http_{status}", body

    @property
    def _state(self) -> str:
        return DELIVERED if self.result.startswith("http_2") else STOPPED

    def _attempt(self) -> Attempt:
        now = datetime.now(UTC)
        return Attempt(1, now, 84, "request", self.result, self.status, self.body, self.headers)
