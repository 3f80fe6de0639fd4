"""An app's transitions: warned, disabled, enabled. The one place that writes them, for health and for operators.

A transition is one transaction: the app's state and generation, and the audit entry that carries the evidence and the
pending mails. The entry's key names what can happen only once, so however many workers see the same outcomes, one
of them makes it. What follows it (events, mail, replay) is driven by a message on the Transitions queue; the entry
says whether that message was sent, and how far its work has come.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from bellhop.registry import DISABLED, ENABLED, INTERNAL, App, AuditEntry, Organization, find
from bellhop.telemetry import Telemetry
from health.messages import FollowUp
from health.rules import BROKEN, EarlyWarning

if TYPE_CHECKING:
    from pynamodb.expressions.update import Action

PENDING = "pending"
BY_HAND = "operator"  # the rule of a transition that a person made


@dataclass(frozen=True, slots=True)
class Change:
    """What the audit entry calls a transition, and the states that it leads from and to."""

    action: str
    before: str
    after: str
    metric: str

    @property
    def raises_generation(self) -> bool:
        """A change of state clears the buffer that health judges by."""
        return self.before != self.after


WARN = Change("app.warned", ENABLED, ENABLED, "AppWarned")
DISABLE = Change("app.disabled", ENABLED, DISABLED, "AppDisabled")
ENABLE = Change("app.enabled", DISABLED, ENABLED, "AppEnabled")


@dataclass(frozen=True)
class TransitionDependencies:
    """What transitions work with; `announce` puts a message on the Transitions queue."""

    connection: Connection
    announce: Callable[[FollowUp], None]
    telemetry: Telemetry
    now: Callable[[], datetime]


def warn(
    app: App, organization_id: str, warning: EarlyWarning, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Warn the owners; of an app that is not switched off, or already broken, only the operators hear."""
    key = f"{warned(app)}{warning.rule}#{warning.level}#{warning.since}#{organization_id}"
    organization = _organization(organization_id)
    told = app.kind == INTERNAL and warning.level < BROKEN and organization and organization.warnings
    owners = _owners(organization if told else None)
    return _make(
        WARN, app, AuditEntry(app.app_id, key, **_account(organization_id, "health", evidence, owners)), deps
    )


def disable(
    app: App, organization_id: str, actor: str, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Switch the app off and have its owners told; None when another was quicker."""
    owners = _owners(_organization(organization_id))
    account = _account(organization_id, actor, evidence, owners)
    return _make(DISABLE, app, AuditEntry(app.app_id, disabled_entry(int(app.generation)), **account), deps)


def enable(
    app: App, actor: str, evidence: dict[str, Any], deps: TransitionDependencies, *, tell_owners: bool
) -> AuditEntry | None:
    """Switch the app on again; None when another was quicker. What was parked follows, as `evidence` says."""
    organization_id = app.organization_id or ""
    owners = _owners(_organization(organization_id) if tell_owners else None)
    account = _account(organization_id, actor, evidence, owners)
    return _make(ENABLE, app, AuditEntry(app.app_id, enabled_entry(int(app.generation)), **account), deps)


def resume(entry: AuditEntry | None, deps: TransitionDependencies) -> None:
    """Announce a transition whose maker died before it could."""
    if entry and not entry.announced_at:
        _announce(entry, deps)


def disabled_entry(generation: int) -> str:
    """The audit key of the switching off that ended `generation`."""
    return f"{generation:08d}#disabled"


def enabled_entry(generation: int) -> str:
    """The audit key of the switching on that ended `generation`."""
    return f"{generation:08d}#enabled"


def last_disabled(app: App) -> AuditEntry | None:
    """The entry of the switching off that a disabled app is in."""
    return find(AuditEntry, app.app_id, disabled_entry(int(app.generation) - 1), consistent=True)


def warned(app: App) -> str:
    """What the audit keys of the warnings in an app's present generation begin with."""
    return f"{int(app.generation):08d}#warned#"


def warnings(app: App) -> Iterable[AuditEntry]:
    """The warnings of an app's present generation."""
    return AuditEntry.query(app.app_id, AuditEntry.entry.startswith(warned(app)), consistent_read=True)


def _organization(organization_id: str) -> Organization | None:
    return find(Organization, organization_id, consistent=True) if organization_id else None


def _owners(organization: Organization | None) -> dict[str, str]:
    return dict.fromkeys(organization.owners, PENDING) if organization else {}


def _account(organization_id: str, actor: str, evidence: dict[str, Any], mails: dict[str, str]) -> dict[str, Any]:
    return {"organization_id": organization_id, "actor": actor, "evidence": evidence, "mails": mails}


def _make(change: Change, app: App, entry: AuditEntry, deps: TransitionDependencies) -> AuditEntry | None:
    entry.action, entry.at = change.action, deps.now().isoformat(timespec="seconds")
    if not _write(change, app, entry, deps):
        return None
    names = {"app_id": app.app_id, "organization_id": entry.organization_id, "entry": entry.entry}
    deps.telemetry.warning(
        change.action.replace(".", " "), **names, actor=entry.actor, rule=entry.evidence.get("rule")
    )
    deps.telemetry.count(change.metric)
    _announce(entry, deps)
    return entry


def _write(change: Change, app: App, entry: AuditEntry, deps: TransitionDependencies) -> bool:
    """The transaction; False when another worker made it, or the app has moved on."""
    as_seen = (App.state == change.before) & (App.generation == app.generation)
    moved: list[Action] = [App.state.set(change.after), App.generation.set(int(app.generation) + 1)]
    try:
        with TransactWrite(connection=deps.connection) as transaction:
            if change.raises_generation:
                transaction.update(App(app.app_id), actions=moved, condition=as_seen)
            else:
                transaction.condition_check(App, app.app_id, condition=as_seen)
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
    except TransactWriteError as error:
        if any(reason and reason.code == "ConditionalCheckFailed" for reason in error.cancellation_reasons):
            return False
        raise
    return True


def _announce(entry: AuditEntry, deps: TransitionDependencies) -> None:
    # A death between the two announces twice, which does no harm; in the other order it would never be announced.
    deps.announce(FollowUp(entry.app_id, entry.entry))
    announced = AuditEntry.announced_at.set(deps.now().isoformat(timespec="seconds"))
    AuditEntry(entry.app_id, entry.entry).update(actions=[announced], condition=AuditEntry.app_id.exists())
