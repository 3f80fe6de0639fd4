"""What `--json` prints: the same as the tables, for programs. Names are those of the tables' attributes."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bellhop.circuits import Circuit
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation
from infra.console import headers, keys
from infra.console.log import Entry, Log
from infra.console.plan import Change, Plan
from infra.console.rotate import Rotation
from infra.console.show import AppView

COUNTS = ("success", "error", "timeout", "fatal")


def plan(made: Plan, *, with_secrets: bool) -> dict[str, Any]:
    """A plan; the secrets it generates only if it is about to be executed."""
    shown = sorted(made.generated) if with_secrets else ()
    return {
        "changes": [_change(change) for change in made.changes],
        "unchanged": made.unchanged,
        "stores_secrets_of": sorted(made.secrets),
        "new_secrets": {app: secret_forms(made.secrets[app]) for app in shown},
    }


def secret_forms(secret: str) -> dict[str, str]:
    """A signing secret in the form of each scheme."""
    return {"classic": secret, "standard": keys.standard_form(secret)}


def log(read: Log) -> dict[str, Any]:
    """A delivery log."""
    entries = [_entry(entry) for entry in read.entries]
    return {"since": read.since.isoformat(timespec="seconds"), "complete": read.complete, "attempts": entries}


def directory(apps: Iterable[App]) -> list[dict[str, Any]]:
    """The apps as the directory knows them."""
    return [_fields(app, "app_id", "kind", "name", "state", "organization_id") for app in apps]


def app(view: AppView) -> dict[str, Any]:
    """One app."""
    names = ("app_id", "uuid", "kind", "name", "state", "organization_id", "url", "events")
    return {
        **_fields(view.app, *names),
        "generation": int(view.app.generation),
        "headers": headers.masked(view.app.headers),
        "max_per_second": view.app.max_per_second,
        "auto_enable": bool(view.app.auto_enable),
        "gate": _gate(view),
        "held": {**view.held.counts, "complete": view.held.complete},
        "rotating_until": moment(view.rotating_until),
        "installations": [_hook(hook) for hook in view.hooks],
        "days": {name: [_day(row) for row in rows] for name, rows in view.days.items()},
        "audit": [_audit(entry) for entry in view.audit],
    }


def mail_states(entry: AuditEntry) -> dict[str, int]:
    """How many of an entry's mails are in which state."""
    return dict(Counter(entry.mails.attribute_values.values()))


def moment(seconds: float | None) -> str | None:
    """A time in Unix seconds as ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")


def rotation(made: Rotation, cache_seconds: int) -> dict[str, Any]:
    """A rotation, with the secret if it is a new one."""
    return {
        "app_id": made.app_id,
        "new_secret": secret_forms(made.secret) if made.generated else None,
        "both_sign_until": made.until.isoformat(timespec="seconds") if made.until else None,
        "seen_within_seconds": cache_seconds,
    }


def _gate(view: AppView) -> dict[str, Any]:
    probe = view.gate if view.paused_since is not None else Circuit()
    return {
        "paused_since": moment(view.paused_since),
        "next_trial_at": moment(probe.next_trial_at),
        "trial_lease_until": moment(probe.trial_lease_until),
        "closed_at": moment(view.gate.closed_at),
        "slow_start_per_second": view.start_rate,
    }


def _change(change: Change) -> dict[str, Any]:
    fields = {name: _difference(name, old, new) for name, (old, new) in change.fields.items()}
    return {"change": "create" if change.creates else "update", "item": change.spec.label, "fields": fields}


def _difference(name: str, old: Any, new: Any) -> dict[str, Any]:
    if name == "headers":
        shown = {"old": headers.masked(old), "new": headers.masked(new)}
        return shown | {"changed": headers.changed(old, new)}
    return {"old": old, "new": new}


def _entry(entry: Entry) -> dict[str, Any]:
    due = entry.due.isoformat(timespec="seconds") if entry.due else None
    return asdict(entry) | {"at": entry.at.isoformat(timespec="milliseconds"), "due": due}


def _hook(hook: Installation) -> dict[str, Any]:
    return _fields(hook, "organization_id", "installation_id", "status", "events", "projects")


def _day(row: OutcomeDay) -> dict[str, Any]:
    counts = {name: int(getattr(row, name)) for name in COUNTS}
    last = json.loads(row.last_failure) if row.last_failure else None
    return {"day": row.day} | counts | {"last_failure": last}


def _audit(entry: AuditEntry) -> dict[str, Any]:
    names = ("transition_id", "action", "actor", "at", "organization_id", "evidence", "finished_at")
    return _fields(entry, *names) | {"mails": dict(entry.mails.attribute_values)}


def _fields(item: App | Installation | AuditEntry, *names: str) -> dict[str, Any]:
    return {name: getattr(item, name) for name in names}
