"""What people do to apps by commands and by hand: each may fail or die like everything else."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.transactions import TransactWrite

from bellhop import circuits
from bellhop.attempts import REPLAYABLE, DeliveryRecord
from bellhop.deliveries import Retry, encode
from bellhop.queues import OutgoingMessage
from bellhop.registry import ENABLED, App, AuditEntry, Installation, find
from bellhop.replays import Replay
from bellhop.secrets import SigningSecret
from health import transitions
from health.transitions import TransitionDependencies, Update
from tests.simulation import resending
from tests.simulation.expressions import FILTERS, TRANSFORMS
from tests.simulation.faulty_fleet import FaultyFleet
from tests.simulation.history import WANTED
from tests.simulation.simulated_functions import RETRIES
from tests.support.fakes import app

OVERLAP_SECONDS = 3600
OTHER = "issue.resolved"  # what is never published


def find_app(app_id: str) -> App | None:
    """The app as it is registered now."""
    return find(App, app_id, consistent=True)


def _secret(app_id: str, number: int) -> str:
    return f"{app_id}-{number}".ljust(40, "x")


def new_app(app_id: str, **changes: Any) -> App:
    """An app that may get what is published."""
    return app(app_id, events=[*WANTED, OTHER], **changes)


def register(made: App, now: datetime) -> None:
    """Register an app, perhaps under an id that was deleted; one that has no secret gets its first."""
    entry = transitions.registration(made, "operator:ann", now)
    secret = find(SigningSecret, made.app_id, consistent=True) or SigningSecret(
        made.app_id, secret=_secret(made.app_id, 0)
    )
    with TransactWrite(connection=AuditEntry._get_connection().connection) as transaction:
        transaction.save(entry)
        transaction.save(made)
        transaction.save(secret)


@dataclass(frozen=True)
class Operator:
    """Who does something to an app of a fleet."""

    fleet: FaultyFleet
    app_id: str
    chance: random.Random

    def do(self, what: str) -> None:
        """Do one of COMMANDS, or `come`, if the app is there, or is not."""
        found = find_app(self.app_id)
        if found is not None and what in COMMANDS:
            COMMANDS[what](self, found)
        elif found is None and what == "come":
            register(new_app(self.app_id), self.fleet.clock())

    def switch(self, found: App) -> None:
        """Switch the app off, or on."""
        evidence: dict[str, Any] = {"rule": "operator", "days": []}
        if found.state == ENABLED:
            transitions.disable(found, "acme", "operator:ann", evidence, self._dependencies())
        else:
            replay = {"replay": {"states": ["parked"]}}
            transitions.enable(found, "operator:ann", evidence | replay, self._dependencies(), tell_owners=False)

    def change_url(self, found: App) -> None:
        """Give the app another URL; one that is off has none to change here."""
        url = f"{found.url}/{found.generation}"
        update = Update([App.url.set(url)], App.url == found.url)
        transitions.change_url(found, url, "operator:ann", update, self._dependencies())

    def leave(self, found: App) -> None:
        """Delete the app by hand."""
        found.delete()

    def delete(self, found: App) -> None:
        """Delete the app by the command."""
        entry, deps = transitions.deletion(found, "operator:ann", self.fleet.clock()), self._dependencies()
        as_read = (App.state == found.state) & (App.generation == found.generation)
        with TransactWrite(connection=deps.connection) as transaction:
            transaction.delete(found, condition=as_read)
            transaction.delete(SigningSecret(found.app_id))
            transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())
        transitions.announce(entry, deps)

    def move(self, found: App) -> None:
        """Have the app belong to another organisation, or come back."""
        other = "globex" if found.organization_id == "acme" else "acme"
        found.update(actions=[App.organization_id.set(other)])

    def change_kind(self, found: App) -> None:
        """Publish the app, or take it back."""
        found.update(actions=[App.kind.set("internal" if found.kind == "published" else "published")])

    def rotate(self, found: App) -> None:
        """Replace the secret, with an overlap."""
        row = SigningSecret.get(found.app_id, consistent_read=True)
        number = int(row.secret.rstrip("x").rpartition("-")[2]) + 1
        row.previous, row.previous_until = row.secret, int(self.fleet.clock.seconds() + OVERLAP_SECONDS)
        row.secret = _secret(found.app_id, number)
        row.save()

    def replay(self, found: App) -> None:
        """Replay everything that is kept of the app."""
        if found.state == ENABLED and not circuits.is_paused(found.app_id, int(found.generation)):
            now = self.fleet.clock.seconds()
            replay = Replay(found.app_id, int(found.generation), REPLAYABLE, 10.0, now, now)
            self.fleet.queues().announce(replay)

    def resend(self, found: App) -> None:
        """Resend what is kept of the app, whatever became of it."""
        resending.begin(self.fleet, found.app_id)

    def stop_resend(self, found: App) -> None:
        """Stop that."""
        resending.stop(self.fleet, found.app_id)

    def retry(self, found: App) -> None:
        """Retry one delivery of the app, whatever its state."""
        rows = [row for row in DeliveryRecord.scan() if row.app_id == found.app_id]
        if rows:
            row = self.chance.choice(rows)
            retry = Retry(row.delivery_id, row.app_id, int(row.attempts_made) + 1, replay=True)
            self.fleet.queue(RETRIES).send(OutgoingMessage(encode(retry), row.app_id))

    def uninstall(self, found: App) -> None:
        """Uninstall the app."""
        self._change_installation(found, Installation.status.set("uninstalled"))

    def install(self, found: App) -> None:
        """Install the app again."""
        self._change_installation(found, Installation.status.set("installed"))

    def narrow(self, found: App) -> None:
        """Have the hook want other events than are published."""
        self._change_installation(found, Installation.events.set([OTHER]))

    def limit(self, found: App) -> None:
        """Have the hook want no project, which is not the same as any."""
        self._change_installation(found, Installation.projects.set([]))

    def widen(self, found: App) -> None:
        """Have the hook want it again."""
        self._change_installation(found, Installation.events.set([*WANTED, OTHER]), Installation.projects.remove())

    def filter(self, found: App) -> None:
        """Give the hook a filter, or take it away."""
        chosen = self.chance.choice([*FILTERS])
        self._change_installation(
            found, Installation.filter.set(chosen) if chosen else Installation.filter.remove()
        )

    def transform(self, found: App) -> None:
        """Give the app a transform, or take it away."""
        chosen = self.chance.choice([*TRANSFORMS])
        found.update(actions=[App.transform.set(chosen) if chosen else App.transform.remove()])

    def _change_installation(self, found: App, *actions: Any) -> None:
        Installation("acme", f"in-{found.app_id}").update(actions=[*actions])

    def _dependencies(self) -> TransitionDependencies:
        fleet = self.fleet
        connection = AuditEntry._get_connection().connection
        return TransitionDependencies(connection, fleet.queues().announce, fleet.telemetry, fleet.clock)


COMMANDS: dict[str, Callable[[Operator, App], None]] = {
    "switch": Operator.switch,
    "url": Operator.change_url,
    "leave": Operator.leave,
    "delete": Operator.delete,
    "move": Operator.move,
    "kind": Operator.change_kind,
    "rotate": Operator.rotate,
    "replay": Operator.replay,
    "retry": Operator.retry,
    "resend": Operator.resend,
    "stop resend": Operator.stop_resend,
    "uninstall": Operator.uninstall,
    "install": Operator.install,
    "narrow": Operator.narrow,
    "limit": Operator.limit,
    "widen": Operator.widen,
    "filter": Operator.filter,
    "transform": Operator.transform,
}
AGAIN = {"replay", "retry", "resend"}  # what sends once more what may have arrived
BY_HAND = {"leave", "come"}  # after which nobody releases what was parked, but the sweep
