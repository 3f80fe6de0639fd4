"""An app's transitions: warned, disabled, enabled. The one place that writes them, for health and for operators.

A transition is one transaction: the app's state and generation, and the audit entry with its evidence and its
pending mails. Its id names what can happen only once, so however many workers see the same outcomes, one of them
makes it. What follows (events, mail, replay) is driven by a message on the Transitions queue; the entry remembers
whether that message was sent, and which steps are done.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from bellhop.registry import DISABLED, ENABLED, INTERNAL, App, AuditEntry, Organization, find
from bellhop.tables import lost_condition
from bellhop.telemetry import Telemetry
from health.messages import FollowUp
from health.rules import BROKEN, EarlyWarning

if TYPE_CHECKING:
    from pynamodb.expressions.update import Action

PENDING = "pending"  # the state of a mail that is to be sent
BY_PERSON = "operator"  # the rule of a transition that a person made


@dataclass(frozen=True, slots=True)
class TransitionKind:
    """A transition's name in the audit entry, the app's state before and after, and the metric that counts it."""

    action: str
    before: str
    after: str
    metric: str

    @property
    def raises_generation(self) -> bool:
        """Whether a new generation begins, with empty counters: on every change of state."""
        return self.before != self.after


WARN = TransitionKind("app.warned", ENABLED, ENABLED, "AppWarned")
DISABLE = TransitionKind("app.disabled", ENABLED, DISABLED, "AppDisabled")
ENABLE = TransitionKind("app.enabled", DISABLED, ENABLED, "AppEnabled")


@dataclass(frozen=True)
class TransitionDependencies:
    """What transitions are handed; `announce` puts a message on the Transitions queue."""

    connection: Connection
    announce: Callable[[FollowUp], None]
    telemetry: Telemetry
    now: Callable[[], datetime]


def warn(
    app: App, organization_id: str, warning: EarlyWarning, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Warn the owners; None if that was done before. No mail says that an app is broken but left on."""
    organization = _organization(organization_id)
    mailed = app.kind == INTERNAL and warning.level < BROKEN and organization and organization.warnings
    entry = AuditEntry(
        app.app_id,
        f"{warning_prefix(app)}{warning.rule}#{warning.level}#{warning.since}#{organization_id}",
        organization_id=organization_id,
        actor="health",
        evidence=evidence,
        mails=_pending_mails(organization if mailed else None),
    )
    return _make(WARN, app, entry, deps)


def disable(
    app: App, organization_id: str, actor: str, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Switch the app off and tell its owners; None if somebody else switched it first."""
    entry = AuditEntry(
        app.app_id,
        disabled_id(int(app.generation)),
        organization_id=organization_id,
        actor=actor,
        evidence=evidence,
        mails=_pending_mails(_organization(organization_id)),
    )
    return _make(DISABLE, app, entry, deps)


def enable(
    app: App, actor: str, evidence: dict[str, Any], deps: TransitionDependencies, *, tell_owners: bool
) -> AuditEntry | None:
    """Switch the app on; None if somebody else switched it first. `evidence["replay"]` says what is replayed."""
    organization_id = app.organization_id or ""
    entry = AuditEntry(
        app.app_id,
        enabled_id(int(app.generation)),
        organization_id=organization_id,
        actor=actor,
        evidence=evidence,
        mails=_pending_mails(_organization(organization_id) if tell_owners else None),
    )
    return _make(ENABLE, app, entry, deps)


def resume(entry: AuditEntry | None, deps: TransitionDependencies) -> None:
    """Announce a transition whose maker died before it could."""
    if entry and not entry.announced_at:
        _announce(entry, deps)


def disabled_id(generation: int) -> str:
    """The id of the switching off that ended `generation`."""
    return f"{generation:08d}#disabled"


def enabled_id(generation: int) -> str:
    """The id of the switching on that ended `generation`."""
    return f"{generation:08d}#enabled"


def warning_prefix(app: App) -> str:
    """What the ids of the warnings in an app's present generation begin with."""
    return f"{int(app.generation):08d}#warned#"


def last_disabled(app: App) -> AuditEntry | None:
    """The entry of the transition that switched off an app that is off now."""
    return find(AuditEntry, app.app_id, disabled_id(int(app.generation) - 1), consistent=True)


def warnings(app: App) -> Iterable[AuditEntry]:
    """The warnings of an app's present generation."""
    condition = AuditEntry.transition_id.startswith(warning_prefix(app))
    return AuditEntry.query(app.app_id, condition, consistent_read=True)


def _organization(organization_id: str) -> Organization | None:
    return find(Organization, organization_id, consistent=True) if organization_id else None


def _pending_mails(organization: Organization | None) -> dict[str, str]:
    return dict.fromkeys(organization.owners, PENDING) if organization else {}


def _make(kind: TransitionKind, app: App, entry: AuditEntry, deps: TransitionDependencies) -> AuditEntry | None:
    entry.action, entry.at = kind.action, deps.now().isoformat(timespec="seconds")
    if not _commit(kind, app, entry, deps):
        return None
    deps.telemetry.warning(
        kind.action.replace(".", " "),
        app_id=app.app_id,
        organization_id=entry.organization_id,
        transition_id=entry.transition_id,
        actor=entry.actor,
        rule=entry.evidence.get("rule"),
    )
    deps.telemetry.count(kind.metric)
    _announce(entry, deps)
    return entry


def _commit(kind: TransitionKind, app: App, entry: AuditEntry, deps: TransitionDependencies) -> bool:
    """Make the transaction; False when another worker made it, or the app has changed since it was read."""
    as_read = (App.state == kind.before) & (App.generation == app.generation)
    changes: list[Action] = [App.state.set(kind.after), App.generation.set(int(app.generation) + 1)]
    try:
        with TransactWrite(connection=deps.connection) as transaction:
            if kind.raises_generation:
                transaction.update(App(app.app_id), actions=changes, condition=as_read)
            else:
                transaction.condition_check(App, app.app_id, condition=as_read)
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
    except TransactWriteError as error:
        if lost_condition(error):
            return False
        raise
    return True


def _announce(entry: AuditEntry, deps: TransitionDependencies) -> None:
    # A crash between the two announces it twice, which does no harm; in the other order it might never be
    # announced.
    deps.announce(FollowUp(entry.app_id, entry.transition_id))
    announced = AuditEntry.announced_at.set(deps.now().isoformat(timespec="seconds"))
    AuditEntry(entry.app_id, entry.transition_id).update(actions=[announced], condition=AuditEntry.app_id.exists())
