"""Switching a broken app off: the one place of health with side effects on the registry.

The transition is one transaction: the app's state and epoch, and the audit entry that carries the pending
mails. Its key is the epoch that ended, so however many workers see the same outcomes, one of them makes it.
What follows it (mail) is driven by a message on the Transitions queue. The entry says whether that is
finished: whoever comes by before sends the message again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from bellhop import gates, outcomes
from bellhop.outcomes import OutcomeDay
from bellhop.registry import DISABLED, ENABLED, INTERNAL, App, AuditEntry, Organization, find
from bellhop.telemetry import Telemetry
from health.rules import Day, Pause, Thresholds, Verdict, evaluate

PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose outcomes are judged: an app in an organisation, and the epoch they were counted in."""

    app_id: str
    organization_id: str
    epoch: int


@dataclass(frozen=True)
class Desk:
    """What health works with."""

    thresholds: Thresholds
    connection: Connection
    announce: Callable[[str, str], None]  # (app id, audit entry) onto the Transitions queue
    telemetry: Telemetry
    now: Callable[[], datetime]


def review(scope: Scope, desk: Desk) -> None:
    """Judge a scope whose counters just took a failure, and switch the app off if it is broken.

    Idempotent: any number of reviews of the same outcomes switch off once. Raises on any fault of ours; the
    stream then delivers the record again.
    """
    app = find(App, scope.app_id, consistent=True)
    if app is None:
        desk.telemetry.warning("review skipped: missing_app", app_id=scope.app_id)
    elif int(app.epoch) != scope.epoch or app.state != ENABLED:
        _finish_what_began(scope, desk)
    else:
        _judge(app, scope, desk)


def audit_entry(epoch: int) -> str:
    """The audit key of the switching off that ended `epoch`."""
    return f"{epoch:08d}#disabled"


def _judge(app: App, scope: Scope, desk: Desk) -> None:
    today = desk.now().astimezone(UTC).date()
    rows = outcomes.days(scope.app_id, scope.organization_id, scope.epoch, today, desk.thresholds.window)
    verdict = evaluate(map(_day, rows), today, desk.thresholds, _pause(scope, desk))
    if not verdict.broken:
        return
    if app.kind != INTERNAL:
        desk.telemetry.warning(
            "app broken, left on: only internal apps are switched off", **_names(scope, verdict)
        )
        desk.telemetry.count("AppBrokenLeftOn")
        return
    evidence = verdict.evidence() | {"url": app.url, "last_failure": _last_failure(rows)}
    if _disable(app, scope, evidence, desk):
        desk.telemetry.warning("app disabled", **_names(scope, verdict))
        desk.telemetry.count("AppDisabled")
    _finish_what_began(scope, desk)


def _disable(app: App, scope: Scope, evidence: dict[str, Any], desk: Desk) -> bool:
    """The transition; False when another worker made it, or an operator was quicker."""
    entry = AuditEntry(
        scope.app_id,
        audit_entry(scope.epoch),
        organization_id=scope.organization_id,
        action="app.disabled",
        actor="health",
        at=desk.now().isoformat(timespec="seconds"),
        evidence=evidence,
        mails=dict.fromkeys(_owners(scope.organization_id), PENDING),
    )
    try:
        with TransactWrite(connection=desk.connection) as transaction:
            transaction.update(
                app,
                actions=[App.state.set(DISABLED), App.epoch.set(scope.epoch + 1)],
                condition=(App.state == ENABLED) & (App.epoch == scope.epoch),
            )
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
    except TransactWriteError as error:
        if any(reason and reason.code == "ConditionalCheckFailed" for reason in error.cancellation_reasons):
            return False
        raise
    return True


def _finish_what_began(scope: Scope, desk: Desk) -> None:
    entry = find(AuditEntry, scope.app_id, audit_entry(scope.epoch), consistent=True)
    if entry and not entry.finished_at:
        desk.announce(scope.app_id, entry.entry)


def _pause(scope: Scope, desk: Desk) -> Pause | None:
    since = gates.paused_since(gates.load(scope.app_id), scope.epoch)
    if since is None:
        return None
    return Pause(datetime.fromtimestamp(since, UTC).date(), (desk.now().timestamp() - since) / 3600)


def _owners(organization_id: str) -> list[str]:
    organization = find(Organization, organization_id, consistent=True)
    return list(dict.fromkeys(organization.owners)) if organization else []


def _day(row: OutcomeDay) -> Day:
    counts = {name: int(getattr(row, name)) for name in ("success", "error", "timeout", "fatal")}
    return Day(datetime.fromisoformat(row.day).date(), **counts)


def _last_failure(rows: list[OutcomeDay]) -> dict[str, Any] | None:
    return next((json.loads(row.last_failure) for row in reversed(rows) if row.last_failure), None)


def _names(scope: Scope, verdict: Verdict) -> dict[str, object]:
    return {
        "app_id": scope.app_id,
        "organization_id": scope.organization_id,
        "epoch": scope.epoch,
        "rule": verdict.rule,
    }
