"""Deleting an app or an organisation: what there is of it, and in which order it goes.

Policy: what is left when a run is interrupted, the same command finds and completes. Installations go first, so
that nothing more is fanned out to them. An app, its secret and its headers go in one transaction, with an audit
entry; health then has deliver end what is parked. Audit entries stay, without owners' addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from bellhop import app_lists, circuits, replays
from bellhop.attempts import KEPT, PARKED, RETRYING
from bellhop.registry import App, AuditEntry, Installation, Organization, find
from bellhop.secrets import SigningSecret
from bellhop.tables import change, lost_condition
from health import transitions
from health.transitions import TransitionDependencies
from infra.cli.errors import CommandError
from infra.cli.identity import TransitionsQueue
from infra.cli.views import COUNTED, Replayable, count_replayable, directory, read_records


@dataclass(frozen=True, slots=True)
class AppRemains:
    """What there is of an app. `app` is None where it is not registered any more; `keyed`: it has a secret.

    `deletion` is the entry of its deletion, if a run before made it. `waiting` counts what is parked and what is
    retrying. `addressed` are the audit entries that have owners' addresses.
    """

    app_id: str
    app: App | None
    keyed: bool
    installations: Sequence[Installation]
    deletion: AuditEntry | None
    waiting: Replayable
    addressed: Sequence[AuditEntry]

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do."""
        pending = self.deletion is not None and self.deletion.announced_at is None
        left = self.app or self.keyed or self.installations or self.addressed or pending
        return not left and not self.waiting.total([PARKED])


@dataclass(frozen=True, slots=True)
class OrganizationRemains:
    """What there is of an organisation; `apps` are those that belong to it."""

    organization_id: str
    organization: Organization | None
    installations: Sequence[Installation]
    apps: Sequence[str]

    @property
    def empty(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.organization or self.installations or self.apps)


def look_at_app(app_id: str, now: datetime) -> AppRemains:
    """What there is of an app. Only reads."""
    entries = AuditEntry.query(app_id, consistent_read=True)
    return AppRemains(
        app_id,
        find(App, app_id, consistent=True),
        find(SigningSecret, app_id, consistent=True) is not None,
        list(Installation.by_app.query(app_id)),
        transitions.last_deletion(app_id),
        _waiting(app_id, now),
        [entry for entry in entries if entry.mails.attribute_values],
    )


def look_at_organization(organization_id: str) -> OrganizationRemains:
    """What there is of an organisation. Only reads."""
    return OrganizationRemains(
        organization_id,
        find(Organization, organization_id, consistent=True),
        _installed_in(organization_id),
        [app.app_id for app in directory() if app.organization_id == organization_id],
    )


def delete_app(
    remains: AppRemains, rate: float, queue: TransitionsQueue, deps: TransitionDependencies, actor: str
) -> list[str]:
    """Delete what there is of an app, as `actor`; what is parked is ended `rate` a second.

    Returns the ids of the audit entries that keep their addresses, as mail to these may still be sent.

    Raises:
        CommandError: somebody changed the app meanwhile; its installations are deleted.
    """
    for installation in remains.installations:
        installation.delete()
    deletion = remains.deletion
    if remains.app:
        deletion = _unregister(remains.app, deps, actor)
    else:
        SigningSecret(remains.app_id).delete()  # which may be left of one that was deleted by hand
        if deletion is None or deletion.announced_at:
            _end_parked(remains, rate, queue, deps.now())
    transitions.resume(deletion, deps)
    return [entry.transition_id for entry in remains.addressed if not forget_addresses(entry)]


def delete_organization(remains: OrganizationRemains) -> None:
    """Delete an organisation and all that is installed in it. Its row, by which it is found, goes last."""
    for installation in remains.installations:
        installation.delete()
    for installation in _installed_in(remains.organization_id):  # meanwhile
        installation.delete()
    Organization(remains.organization_id).delete()


def forget_addresses(entry: AuditEntry) -> bool:
    """Take the owners' addresses out of an audit entry; False while mails of it may still be sent."""
    return change(entry, [AuditEntry.mails.set({})], AuditEntry.finished_at.exists())


def _unregister(app: App, deps: TransitionDependencies, actor: str) -> AuditEntry:
    entry = transitions.deletion(app, actor, deps.now())
    as_read = (App.state == app.state) & (App.generation == app.generation) & (App.uuid == app.uuid)
    try:
        with TransactWrite(connection=deps.connection) as transaction:
            transaction.delete(App(app.app_id), condition=as_read)
            transaction.delete(SigningSecret(app.app_id))
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
    except TransactWriteError as error:
        if not lost_condition(error):
            raise
        written = transitions.last_deletion(app.app_id)
        if written is None:
            raise CommandError(f"{app.app_id} was changed meanwhile by somebody else: delete it again") from error
        return written  # ours, whose response was lost, or another operator's
    return entry


def _end_parked(remains: AppRemains, rate: float, queue: TransitionsQueue, now: datetime) -> None:
    """Have deliver end what is still parked of an app that is gone."""
    if not remains.waiting.total([PARKED]):
        return
    queue.send(replays.begin(circuits.load(remains.app_id), 0, (PARKED,), rate, now.timestamp()))


def _waiting(app_id: str, now: datetime) -> Replayable:
    """Count what is parked, and what is retrying among the newest deliveries of its log."""
    replayable = count_replayable(app_id)
    newest, all_of_them = app_lists.newest(app_id, now - KEPT, now + timedelta(minutes=1), COUNTED)
    retrying = sum(record.state == RETRYING for record in read_records(newest))
    counts = {PARKED: replayable.total([PARKED]), RETRYING: retrying}
    return Replayable(counts, complete=replayable.complete and all_of_them)


def _installed_in(organization_id: str) -> list[Installation]:
    return list(Installation.query(organization_id, consistent_read=True))
