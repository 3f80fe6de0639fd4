"""The mail to an owner: what it says, as text and HTML from templates/.

The only links in it are our own, to the settings and to where warnings are refused. What others wrote (names,
URLs, reasons, responses) is written so that no mail client makes a link of it: a mail of ours leads nobody astray.
"""

import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from bellhop.registry import App, AuditEntry, Organization
from bellhop.text import bidi_isolate, cut, first_line, one_line, unlinked
from health.mail.chart import COLUMNS, chart
from health.mail.links import Links
from health.mail.wording import WarningText, day, error, moment, reason, warning_text
from health.transitions import BY_PERSON

SUBJECT, NAME, URL, RESPONSE, REASON = 120, 80, 300, 200, 500  # characters at most
HEADER = 870  # characters; SES refuses a longer header value
_REFERRERS = {"app.disabled": "disabled-app", "app.warned": "warned-app", "app.enabled": "enabled-app"}
_IN_A_URL = ":/?#[]@!$&'()*+,;=%-._~"


@dataclass(frozen=True, slots=True)
class Mail:
    """One message to one recipient."""

    recipient: str
    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...] = ()


# Also distinct for people who cannot tell red from green; the words beside the colours say the same.
_LIGHT = {"success": "#2b6cb0", "error": "#c2410c", "timeout": "#a16207", "fatal": "#8a1538"}
_DARK = {"success": "#63a4e8", "error": "#f97b3d", "timeout": "#e8b64c", "fatal": "#ff6b7f"}


@dataclass(frozen=True, slots=True)
class _Kind:
    template: str
    subject: str  # before the app's name
    ending: str  # after it
    optional: bool = False  # owners may unsubscribe from it


# That an app was switched off or on again is a notice that owners must get: it happened to their own app, nobody
# else tells them, and each comes only once. Only warnings are optional.
_KINDS = {
    "app.disabled": _Kind("disabled", "Action required: Fix your ", " integration"),
    "app.warned": _Kind("warned", "Your ", " integration is failing", optional=True),
    "app.enabled": _Kind("enabled", "Your ", " integration is on again"),
}
_SWITCHED_OFF_BY_PERSON = _Kind("switched_off", "Your ", " integration was switched off")


def compose(recipient: str, entry: AuditEntry, app: App, organization: Organization, links: Links) -> Mail:
    """The mail that tells an owner what happened to their app and what to do."""
    kind = _kind(entry)
    warning = warning_text(entry.evidence)
    name = _name(app.name, app.app_id)
    slots = {"organization": organization.slug, "app": app.app_id, "owner": recipient}
    unsubscribe = _fill(links.unsubscribe_url, slots) if kind.optional else ""
    values = _facts(entry) | {
        "subject": _subject(kind, name, warning),
        "name": name,
        "organization": _name(organization.name, organization.slug),
        "app_id": shlex.quote(one_line(app.app_id, NAME)),
        "warning": warning,
        "settings_url": _with_referrer(_fill(links.dashboard_url, slots), _REFERRERS[entry.action]),
        "unsubscribe_url": unsubscribe,
    }
    return Mail(
        recipient=recipient,
        subject=values["subject"],
        text=_templates().get_template(f"{kind.template}.txt").render(values),
        html=_templates().get_template(f"{kind.template}.html").render(values),
        headers=(("List-Unsubscribe", f"<{unsubscribe}>"),) if 0 < len(unsubscribe) < HEADER - 1 else (),
    )


def _kind(entry: AuditEntry) -> _Kind:
    planned = entry.action == "app.disabled" and entry.evidence.get("rule") == BY_PERSON
    return _SWITCHED_OFF_BY_PERSON if planned else _KINDS[entry.action]


def _subject(kind: _Kind, name: str, warning: WarningText | None) -> str:
    ending = kind.ending + (f": {warning.reached}" if kind.optional and warning else "")
    return kind.subject + cut(name, SUBJECT - len(kind.subject) - len(ending)) + ending


def _facts(entry: AuditEntry) -> dict[str, Any]:
    evidence: Mapping[str, Any] = entry.evidence
    since, off_since = evidence.get("since"), evidence.get("off_since")
    return {
        "at": moment(entry.at),
        "reason": reason(evidence),
        "given_reason": unlinked(one_line(evidence.get("reason") or "", REASON)),
        "since": day(since, "%a %d %b %Y") if since else "",
        "off_since": moment(off_since) if off_since else "",
        "check_response": _check_response(evidence.get("response")),
        "url": unlinked(one_line(evidence.get("url") or "", URL)),
        "last_failure": _last_failure(evidence.get("last_failure")),
        "chart": chart(evidence.get("days") or []),
    }


def _last_failure(failure: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not failure:
        return None
    return {
        # Beside the error of a send failure stands our own finding, not the endpoint's words.
        "endpoints_words": str(failure.get("error", "")).startswith(("http_", "disable_", "abort_")),
        "error": error(failure.get("error", "")),
        "at": moment(failure.get("at", "")),
        "event": one_line(failure.get("event", ""), NAME),
        "event_id": one_line(failure.get("event_id", ""), NAME),
        "response": unlinked(one_line(first_line(failure.get("response") or ""), RESPONSE)),
    }


def _check_response(response: Mapping[str, Any] | None) -> str:
    if not response or response.get("status") is None:
        return ""
    milliseconds = response.get("ms")
    return f"{int(response['status'])}" + (f" in {int(milliseconds):,} ms" if milliseconds is not None else "")


def _name(name: str, key: str) -> str:
    return unlinked(one_line(name, NAME) or one_line(key, NAME))


def _fill(template: str, slots: Mapping[str, str]) -> str:
    for slot, value in slots.items():
        # What UTF-8 cannot encode cannot be in a URL; braces in a value are encoded, so they are never read as a
        # slot.
        template = template.replace(f"{{{slot}}}", quote(value, safe="", errors="replace"))
    return quote(template, safe=_IN_A_URL)


def _with_referrer(url: str, referrer: str) -> str:
    parts = urlsplit(url)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=f"{query}referrer={referrer}"))


def _wrap(text: str, indent: str = "") -> str:
    wrapper = textwrap.TextWrapper(COLUMNS, initial_indent=indent, subsequent_indent=indent)
    wrapper.break_long_words = wrapper.break_on_hyphens = False  # half a link or half a name is useless
    return wrapper.fill(text) + "\n"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {"light": _LIGHT, "dark": _DARK}
    templates.filters |= {"bidi_isolate": bidi_isolate, "wrap": _wrap}
    return templates
