"""What `--json` prints about an app's health. Names are those of the tables and of the evidence."""

from dataclasses import asdict
from typing import Any

from bellhop.registry import ENABLED, App, AuditEntry
from infra.console import mailing
from infra.console.explain import Explanation, Judged
from infra.console.held import Held
from infra.console.mailing import Shown
from infra.console.ping import Response
from infra.console.replay import Started
from infra.console.what_if import Compared, DryRun, Ruling


def response(given: Response) -> dict[str, Any]:
    """A ping's answer."""
    return asdict(given) | {"headers": dict(given.headers), "meaning": given.meaning}


def kept(held: Held) -> dict[str, Any]:
    """What is held of an app; not `complete`, the counts are at least."""
    return {**held.counts, "complete": held.complete}


def unchanged(app_id: str) -> dict[str, Any]:
    """That an app was not switched."""
    return {"app_id": app_id, "changed": False}


def switched(app: App, entry: AuditEntry, held: Held) -> dict[str, Any]:
    """That an app was switched."""
    return {
        "app_id": app.app_id,
        "changed": True,
        "transition_id": entry.transition_id,
        "action": entry.action,
        "actor": entry.actor,
        "at": entry.at,
        "mails": mailing.states(entry),
        "held": kept(held),
    }


def followed(given: Response | None, rate: float | None) -> dict[str, Any]:
    """What was before and what comes after a switching on."""
    return {"ping": response(given) if given else None, "replay_per_second": rate}


def started(replay: Started) -> dict[str, Any]:
    """A replay."""
    return {
        "app_id": replay.app_id,
        "states": replay.states,
        "held": kept(replay.held),
        "started": replay.rate is not None,
        "replay_per_second": replay.rate,
    }


def explanation(known: Explanation) -> dict[str, Any]:
    """Why an app is in its state."""
    return {
        "app_id": known.app.app_id,
        "kind": known.app.kind,
        "state": known.app.state,
        "enabled": known.app.state == ENABLED,
        "generation": int(known.app.generation),
        "change": _entry(known.change) if known.change else None,
        "thresholds": asdict(known.thresholds),
        "pause_hours": known.pause.hours if known.pause else None,
        "organizations": [_judged(judged) for judged in known.judged],
        "warnings": [_entry(entry) for entry in known.warnings],
        "held": kept(known.held),
    }


def dry_run(made: DryRun) -> dict[str, Any]:
    """What thresholds would have done."""
    return {
        "app_id": made.app.app_id,
        "present": asdict(made.present),
        "other": asdict(made.other),
        "days": [_compared(row) for row in made.days],
    }


def mail(shown: Shown) -> dict[str, Any]:
    """A mail and what became of it."""
    names = {"app_id": shown.entry.app_id, "transition_id": shown.entry.transition_id}
    return names | {"mails": mailing.states(shown.entry), "mail": asdict(shown.mail)}


def _entry(entry: AuditEntry) -> dict[str, Any]:
    names = (
        "transition_id",
        "action",
        "actor",
        "at",
        "organization_id",
        "evidence",
        "announced_at",
        "finished_at",
    )
    return {name: getattr(entry, name) for name in names} | {"mails": mailing.states(entry)}


def _judged(judged: Judged) -> dict[str, Any]:
    return {
        "organization_id": judged.organization_id,
        **judged.evaluation.evidence(),
        "nearness": [asdict(near) for near in judged.nearness],
        "last_failure": judged.last_failure,
    }


def _compared(row: Compared) -> dict[str, Any]:
    day = asdict(row.day) | {"day": row.day.day.isoformat()}
    rulings = {"by_present": _ruling(row.present), "by_other": _ruling(row.other)}
    return {"organization_id": row.organization_id} | day | rulings


def _ruling(ruling: Ruling) -> dict[str, Any]:
    warned = [dict(zip(("rule", "reached", "limit"), row, strict=True)) for row in ruling.warned]
    return {"off": ruling.off, "warned": warned}
