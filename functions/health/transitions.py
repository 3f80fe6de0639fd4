"""An app's transitions: warned, disabled, enabled, its URL changed. The one place that writes them.

A transition is one transaction: the app's state and generation, and the audit entry with its evidence and its
pending mails. Its id names what can happen only once, so however many workers see the same outcomes, one of them
makes it. What follows (events, mail, replay) is driven by a message on the Transitions queue; the entry remembers
whether that message was sent, and which steps are done.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynamodb.connection import Connection
from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from bellhop.attempts import PARKED
from bellhop.registry import DISABLED, ENABLED, INTERNAL, App, AuditEntry, Organization, find
from bellhop.tables import ItemUpdate, lost_condition
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
    begins_generation: bool = True  # with empty counters, and out of a pause


WARN = TransitionKind("app.warned", ENABLED, ENABLED, "AppWarned", begins_generation=False)
DISABLE = TransitionKind("app.disabled", ENABLED, DISABLED, "AppDisabled")
ENABLE = TransitionKind("app.enabled", DISABLED, ENABLED, "AppEnabled")
CHANGE_URL = TransitionKind("app.url_changed", ENABLED, ENABLED, "AppUrlChanged")
REGISTERED = "app.registered"  # not a transition: nothing follows it
DELETED = "app.deleted"  # nor is this one, but what was parked must be ended


@dataclass(frozen=True)
class TransitionDependencies:
    """What transitions are handed; `announce` puts a message on the Transitions queue."""

    connection: Connection
    announce: Callable[[FollowUp], None]
    telemetry: Telemetry
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Update:
    """Changes of an app that are made together with a transition, if the condition holds, and `beside` it."""

    actions: "list[Action]"
    condition: Any
    beside: Sequence[ItemUpdate] = ()


def warn(
    app: App, counted_in: str, warning: EarlyWarning, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Warn the owners; None if that was done before. No mail says that an app is broken but left on."""
    organization_id = _told(app, counted_in)
    organization = _organization(organization_id)
    mailed = app.kind == INTERNAL and warning.level < BROKEN and organization and organization.warnings
    entry = AuditEntry(
        app.app_id,
        f"{warning_prefix(int(app.generation))}{counted_in}#{warning.rule}#{warning.level}#{warning.since}",
        organization_id=organization_id,
        actor="health",
        evidence=evidence,
        mails=_pending_mails(organization if mailed else None),
    )
    return _make(WARN, app, entry, deps)


def disable(
    app: App, counted_in: str, actor: str, evidence: dict[str, Any], deps: TransitionDependencies
) -> AuditEntry | None:
    """Switch the app off and tell its owners; None if somebody else switched it first."""
    organization_id = _told(app, counted_in)
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


def change_url(app: App, url: str, actor: str, update: Update, deps: TransitionDependencies) -> AuditEntry | None:
    """Make an `update` that gives an app another URL; None if the app has changed since it was read.

    The old URL's failures must neither judge the new one nor be shown as its own: a new generation begins, which
    also ends a pause. What was parked until now goes to the new URL.
    """
    evidence = {"rule": BY_PERSON, "url": url, "old_url": app.url, "days": [], "replay": {"states": [PARKED]}}
    entry = AuditEntry(
        app.app_id,
        url_changed_id(int(app.generation)),
        organization_id=app.organization_id or "",
        actor=actor,
        evidence=evidence,
    )
    return _make(CHANGE_URL, app, entry, deps, update)


def registration(app: App, actor: str, at: datetime) -> AuditEntry:
    """The entry of a registration, for the transaction that makes it. Sets the app's first generation.

    Policy: an app may have been registered before under its id, and deleted. Its audit entries and
    counters are still there, and must neither judge the new app nor keep it from its own transitions. So it starts
    above every generation that they can be of. What was parked of the old one is the new one's: no release of it
    has a message, so the sweep begins one.
    """
    newest = AuditEntry.query(app.app_id, scan_index_forward=False, limit=1, consistent_read=True)
    ended = max((_ended_by(entry) + 1 for entry in newest), default=0)
    app.generation = ended + 1
    moment = at.isoformat(timespec="seconds")
    return AuditEntry(
        app.app_id,
        registered_id(ended),
        organization_id=app.organization_id or "",
        action=REGISTERED,
        actor=actor,
        at=moment,
        evidence={"rule": BY_PERSON, "url": app.url, "days": [], "replay": {"states": [PARKED]}},
        announced_at=moment,
        finished_at=moment,
    )


def deletion(app: App, actor: str, at: datetime) -> AuditEntry:
    """The entry of a deletion, for the transaction that makes it; to be announced afterwards."""
    return AuditEntry(
        app.app_id,
        deleted_id(int(app.generation)),
        organization_id=app.organization_id or "",
        action=DELETED,
        actor=actor,
        at=at.isoformat(timespec="seconds"),
        evidence={"rule": BY_PERSON, "days": []},
    )


def last_deletion(app_id: str) -> AuditEntry | None:
    """The entry of the deletion of an app, if that is the last thing that happened to it."""
    newest = AuditEntry.query(app_id, scan_index_forward=False, limit=1, consistent_read=True)
    ids = [deleted_id(_ended_by(entry)) for entry in newest]
    return next(filter(None, (find(AuditEntry, app_id, key, consistent=True) for key in ids)), None)


def resume(entry: AuditEntry | None, deps: TransitionDependencies) -> None:
    """Announce a transition whose maker died before it could."""
    if entry and not entry.announced_at:
        announce(entry, deps)


def announce(entry: AuditEntry, deps: TransitionDependencies) -> None:
    """Have what follows a transition done. To announce it twice does no harm."""
    # A crash between the two announces it twice; in the other order it might never be announced.
    deps.announce(FollowUp(entry.app_id, entry.transition_id))
    announced = AuditEntry.announced_at.set(deps.now().isoformat(timespec="seconds"))
    AuditEntry(entry.app_id, entry.transition_id).update(actions=[announced], condition=AuditEntry.app_id.exists())


def disabled_id(generation: int) -> str:
    """The id of the switching off that ended `generation`."""
    return f"{generation:08d}#disabled"


def enabled_id(generation: int) -> str:
    """The id of the switching on that ended `generation`."""
    return f"{generation:08d}#enabled"


def url_changed_id(generation: int) -> str:
    """The id of the change of URL that ended `generation`."""
    return f"{generation:08d}#url_changed"


def registered_id(generation: int) -> str:
    """The id of the registration that came after `generation`."""
    return f"{generation:08d}#registered"


def deleted_id(generation: int) -> str:
    """The id of the deletion that ended `generation`."""
    return f"{generation:08d}#deleted"


def warning_prefix(generation: int) -> str:
    """What the ids of the warnings in a generation begin with."""
    return f"{generation:08d}#warned#"


def last_disabled(app: App) -> AuditEntry | None:
    """The entry of the transition that switched off an app that is off now."""
    return find(AuditEntry, app.app_id, disabled_id(int(app.generation) - 1), consistent=True)


def last_transition(app: App) -> AuditEntry | None:
    """The entry of what began an app's present generation; None where there was none."""
    ended = int(app.generation) - 1
    ids = [disabled_id(ended)] if app.state == DISABLED else [f(ended) for f in _IDS_OF_WHAT_LEAVES_AN_APP_ON]
    return next(filter(None, (find(AuditEntry, app.app_id, key, consistent=True) for key in ids)), None)


def warnings(app: App) -> Iterable[AuditEntry]:
    """The warnings of an app's present generation."""
    return _beginning(app, warning_prefix(int(app.generation)))


def warnings_in(app: App, organization_id: str, generation: int) -> Iterable[AuditEntry]:
    """Those about an organisation in a generation. Thousands may have an app, and none is read for another's sake.

    In the ids of version 0.1.0 the organisation comes last. It mailed warnings of internal apps alone, which have
    one organisation, so of these all are read.
    """
    prefix = warning_prefix(generation)
    if app.kind == INTERNAL:
        return [each for each in _beginning(app, prefix) if organization_id in each.transition_id.split("#")]
    return _beginning(app, f"{prefix}{organization_id}#")


def _beginning(app: App, prefix: str) -> Iterable[AuditEntry]:
    return AuditEntry.query(app.app_id, AuditEntry.transition_id.startswith(prefix), consistent_read=True)


_IDS_OF_WHAT_LEAVES_AN_APP_ON = (enabled_id, url_changed_id, registered_id)


def _ended_by(entry: AuditEntry) -> int:
    return int(entry.transition_id.partition("#")[0])


def _told(app: App, counted_in: str) -> str:
    """The organisation whose owners are told: the one that an internal app belongs to now.

    `bellhop apply` moves no app that is still installed elsewhere. Where a registry has such an app all the same,
    the owners of the organisation in which its failures were counted could do nothing about it.
    """
    return app.organization_id if app.kind == INTERNAL and app.organization_id else counted_in


def _organization(organization_id: str) -> Organization | None:
    return find(Organization, organization_id, consistent=True) if organization_id else None


def _pending_mails(organization: Organization | None) -> dict[str, str]:
    return dict.fromkeys(organization.owners, PENDING) if organization else {}


def _make(
    kind: TransitionKind,
    app: App,
    entry: AuditEntry,
    deps: TransitionDependencies,
    update: Update | None = None,
) -> AuditEntry | None:
    entry.action, entry.at = kind.action, deps.now().isoformat(timespec="seconds")
    if not _commit(kind, app, entry, deps, update):
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
    announce(entry, deps)
    return entry


def _commit(
    kind: TransitionKind, app: App, entry: AuditEntry, deps: TransitionDependencies, update: Update | None
) -> bool:
    """Make the transaction; False when another worker made it, or the app has changed since it was read."""
    as_read = (App.state == kind.before) & (App.generation == app.generation)
    changes: list[Action] = [App.state.set(kind.after), App.generation.set(int(app.generation) + 1)]
    if update:
        as_read, changes = as_read & update.condition, changes + update.actions
    try:
        with TransactWrite(connection=deps.connection) as transaction:
            if kind.begins_generation:
                transaction.update(App(app.app_id), actions=changes, condition=as_read)
            else:
                transaction.condition_check(App, app.app_id, condition=as_read)
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
            for each in update.beside if update else ():
                each.join(transaction)
    except TransactWriteError as error:
        if lost_condition(error):
            return False
        raise
    return True
