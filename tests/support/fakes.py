"""Fakes and samples that most tests share: telemetry, a registry, registry rows, queue messages."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bellhop import deliveries
from bellhop.deliveries import Delivery
from bellhop.registry import PAGE, App, Installation, Organization

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "ab" * 32


@dataclass
class Recorder:
    """A telemetry that records every log line, every count and every duration."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    durations: dict[str, list[float]] = field(default_factory=dict)

    def info(self, message: str, **fields: Any) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, **fields: Any) -> None:
        self.lines.append(("error", message, fields))

    def count(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def measure(self, name: str, seconds: float) -> None:
        self.durations.setdefault(name, []).append(seconds)

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The fields of each log line with this message."""
        return [fields for _, text, fields in self.lines if text == message]

    def everything(self) -> str:
        return repr(self.lines)


@dataclass
class FakeRegistry:
    """A registry that needs no table."""

    organizations: dict[str, Organization] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    installed: list[Installation] = field(default_factory=list)

    def organization(self, organization_id: str) -> Organization | None:
        return self.organizations.get(organization_id)

    def app(self, app_id: str) -> App | None:
        return self.apps.get(app_id)

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        found = [i for i in self.installed if i.organization_id == organization_id]
        return next((i for i in found if i.installation_id == installation_id), None)

    def installations(self, organization_id: str, after: str | None = None) -> list[Installation]:
        found = (i for i in self.installed if i.organization_id == organization_id)
        later = (i for i in found if after is None or i.installation_id > after)
        return sorted(later, key=lambda i: i.installation_id)[:PAGE]


def issue_event(**changes: Any) -> dict[str, Any]:
    """A valid issue event with some fields changed; `...` as a value leaves the field out."""
    event = {
        "event_id": "ev1",
        "type": "created",
        "organization_id": "acme",
        "issue": {"id": "42", "title": "ValueError: bad"},
    }
    return {k: v for k, v in (event | changes).items() if v is not ...}


def app(app_id: str = "pager", **changes: Any) -> App:
    """An enabled internal app with some attributes changed."""
    values: dict[str, Any] = {
        "uuid": f"uuid-{app_id}",
        "name": app_id.title(),
        "kind": "internal",
        "organization_id": "acme",
        "url": "https://hooks.example/in",
        "events": ["issue.created", "issue.resolved", "issue.assigned"],
        "state": "enabled",
        "generation": 1,
    }
    return App(app_id, **values | changes)


def installation(app_id: str = "pager", **changes: Any) -> Installation:
    """An installation of the app in acme with some attributes changed."""
    values: dict[str, Any] = {
        "organization_id": "acme",
        "installation_id": f"in-{app_id}",
        "app_id": app_id,
        "events": ["issue.created", "issue.resolved", "issue.assigned"],
    }
    return Installation(**values | changes)


def organization(**changes: Any) -> Organization:
    """The organisation acme with some attributes changed."""
    return Organization("acme", **{"slug": "acme", "name": "Acme", "owners": ["ada@acme.example"]} | changes)


def delivery(**changes: Any) -> Delivery:
    """A delivery to the app pager with some fields changed."""
    values: dict[str, Any] = {
        "delivery_id": "msg_" + "0" * 32,
        "event_id": "ev1",
        "event": "issue.created",
        "app_id": "pager",
        "organization_id": "acme",
        "installation_id": "in-pager",
        "body": b'{"action":"created"}',
        "enqueued_at": NOW.timestamp(),
    }
    return Delivery(**values | changes)


FAST_LANE = "arn:aws:sqs:eu-west-1:123456789012:work"
SLOW_LANE = "arn:aws:sqs:eu-west-1:123456789012:retries"


def queue_message(
    body: Any, message_id: str = "m1", receive_count: int = 1, arn: str = FAST_LANE
) -> dict[str, Any]:
    """A message of an SQS event, of the queue with that ARN. A `body` that is no text is encoded."""
    if isinstance(body, Delivery | deliveries.Retry | deliveries.Trial):
        body = deliveries.encode(body)
    return {
        "messageId": message_id,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(int(NOW.timestamp() * 1000)),
        },
    }
