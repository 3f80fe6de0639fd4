"""The mail to an owner: what it says, as text and HTML from templates/."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from bellhop.registry import App, AuditEntry, Organization


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one recipient."""

    recipient: str
    subject: str
    text: str
    html: str


def compose(recipient: str, entry: AuditEntry, app: App, organization: Organization, dashboard_url: str) -> Mail:
    """The mail that tells an owner why their app was switched off and what to do."""
    name = _one_line(app.name)
    values = {
        "name": name,
        "organization": _one_line(organization.name),
        "at": entry.at,
        "reason": _reason(entry.evidence),
        "days": [_day(d) for d in entry.evidence["days"]],
        "url": entry.evidence["url"],
        "last": entry.evidence["last_failure"],
        "settings_url": _link(dashboard_url, organization.slug, app.app_id),
        "app_id": app.app_id,
    }
    return Mail(
        recipient=recipient,
        subject=f"Action required: Fix your {name} integration",
        text=_templates().get_template("disabled.txt").render(values),
        html=_templates().get_template("disabled.html").render(values),
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _reason(evidence: dict[str, Any]) -> str:
    days = evidence["days"]
    if evidence["rule"] == "fatal":
        return "the endpoint answered that it is gone for good (410) or asked to be switched off"
    if evidence["rule"] == "timeouts":
        worst = max(days, key=lambda d: d["timeout"])
        return f"{worst['timeout']} requests got no answer in time on {worst['day']}"
    if evidence["rule"] == "pause":
        return "deliveries were paused for days because half of them failed, and not one probe got through"
    failing = [d for d in days if d["error"] and not d["success"]]
    return f"every request of the last {len(failing)} days ended in an error"


def _day(day: dict[str, Any]) -> dict[str, Any]:
    return day | {"name": date.fromisoformat(day["day"]).strftime("%a %d %b")}


def _link(template: str, organization: str, app: str) -> str:
    url = template.replace("{organization}", organization).replace("{app}", app)
    return url + ("&" if "?" in url else "?") + "referrer=disabled-app"


def _one_line(name: str) -> str:
    return " ".join(name.split())[:100]  # a name with a line break must not reach a header
