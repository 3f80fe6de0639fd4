"""Mails to owners, and reading them as a person and as a mail client does."""

from html.parser import HTMLParser
from typing import Any

from bellhop.registry import AuditEntry
from health.mail.content import Mail, compose
from health.mail.links import Links
from tests.support.fakes import app, organization

DISABLED, WARNED, ENABLED = "app.disabled", "app.warned", "app.enabled"
LINKS = Links(
    "https://tracker.example/settings/{organization}/developer-settings/{app}/",
    "https://tracker.example/unsubscribe?from={organization}&app={app}&owner={owner}",
)
THRESHOLDS = {"timeouts_per_day": 1000, "error_days": 7, "pause_hours": 72}
FAILURE = {
    "at": "2026-11-23T11:59:00+00:00",
    "delivery_id": "msg_1",
    "event_id": "ev9",
    "event": "issue.created",
    "error": "http_404",
    "response": "no such hook",
}


def days(**counts: int) -> list[dict[str, Any]]:
    zero = {"success": 0, "error": 0, "timeout": 0, "fatal": 0}
    return [{"day": "2026-11-22"} | zero, {"day": "2026-11-23"} | zero | counts]


def entry(action: str = DISABLED, **changes: Any) -> AuditEntry:
    evidence = {
        "rule": "fatal",
        "days": days(success=3, fatal=1),
        "since": "2026-11-20",
        "thresholds": THRESHOLDS,
        "url": "https://hooks.example/in?a=1&b=2",
        "last_failure": FAILURE,
    }
    at = "2026-11-23T12:00:00+00:00"
    return AuditEntry("pager", "1", organization_id="acme", action=action, at=at, evidence=evidence | changes)


def warned(rule: str = "timeouts", reached: int = 512, limit: int = 1000) -> AuditEntry:
    return entry(WARNED, rule=rule, warning={"reached": reached, "limit": limit})


def enabled(**changes: Any) -> AuditEntry:
    evidence = {
        "rule": "recovery_check",
        "off_since": "2026-11-20T08:00:00+00:00",
        "response": {"status": 200, "ms": 12},
    }
    return entry(ENABLED, **evidence | {"days": [], "last_failure": None, "since": None} | changes)


def mail(
    entry: AuditEntry, name: str = "Pager", company: str = "Acme", links: Links = LINKS, slug: str = "acme"
) -> Mail:
    return compose("ada@acme.example", entry, app(name=name), organization(name=company, slug=slug), links)


def said(entry: AuditEntry, part: str) -> str:
    """What a person reads: without tags, runs of blanks as one."""
    text = getattr(mail(entry), part)
    return " ".join((Read(text).text if part == "html" else text).split())


class Read(HTMLParser):
    """The elements of an HTML mail with their attributes, its text, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.links: list[str | None] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data
