"""What `make run` shows: four apps, a few events, what must come of them, and the way back of one that was off."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bellhop import attempts
from bellhop.deliveries import delivery_id
from bellhop.registry import DISABLED, ENABLED, App, find
from infra.local import registering
from infra.local.receiver import Behaviour, Received, Receiver, Reply, gone, hang, ok, receiver
from infra.local.stack import Stack

ORGANIZATION = "acme"
OWNER = "ada@acme.example"
KINDS = ("created", "resolved", "assigned")
WHILE_OFF = tuple(f"while-off-{number}" for number in range(1, 4))
PROJECT, OTHER_PROJECT = "frontend", "backend"
SECRET = "5e" * 32  # a demo's, imported so that its endpoints can verify from the first webhook on

PAGER, BOARD, RETIRED, SLEEPY = "pager", "backend-board", "retired-bot", "sleepy-bot"


@dataclass
class Line:
    """Something that must come true: `seen` returns in words what did, None as long as it has not."""

    app: str
    promise: str
    seen: Callable[[], str | None]
    held: str | None = None

    def look(self) -> bool:
        """Whether it has just come true."""
        if self.held is None:
            self.held = self.seen()
            return self.held is not None
        return False


@dataclass
class Story:
    """The endpoints, and the stack they are registered with."""

    stack: Stack
    rooms: ExitStack
    endpoints: dict[str, Receiver] = field(default_factory=dict)
    repaired: bool = False

    def __post_init__(self) -> None:
        behaviours: dict[str, Behaviour] = {PAGER: ok, BOARD: ok, RETIRED: self._gone_for_now, SLEEPY: hang}
        for app, behaviour in behaviours.items():
            self.endpoints[app] = self.rooms.enter_context(receiver(behaviour, SECRET))

    def write_registry(self, directory: Path) -> Path:
        """The registry file of the demo; JSON is YAML."""
        apps = {
            app: {"organization": ORGANIZATION, "url": endpoint.url, "events": ["issue"], "secret": SECRET}
            for app, endpoint in self.endpoints.items()
        }
        installations: list[dict[str, Any]] = [
            {"app": app, "organization": ORGANIZATION, "id": _installation(app)} for app in apps
        ]
        installations[list(apps).index(BOARD)]["projects"] = [OTHER_PROJECT]
        organizations = {ORGANIZATION: {"name": "Acme", "owners": [OWNER]}}
        document = {"organizations": organizations, "apps": apps, "installations": installations}
        return _write(directory / "registry.yaml", document)

    def write_events(self, directory: Path) -> Path:
        """The events of the demo, as `bellhop publish` takes them."""
        events = [registering.event(ORGANIZATION, _event_id(k), k, project_id=PROJECT) for k in KINDS]
        return _write(directory / "events.json", events)

    def lines(self) -> list[Line]:
        """What must come true."""
        arrivals = [Line(PAGER, f"issue.{kind} arrives", partial(self._arrived, kind)) for kind in KINDS]
        others = [
            Line(RETIRED, "answers 410 and is switched off", self._switched_off),
            Line(RETIRED, "its owner gets a mail", self._mailed),
            Line(SLEEPY, "hangs; its neighbours do not wait", self._timed_out),
        ]
        quiet = Line(BOARD, f"only wants project {OTHER_PROJECT}", lambda: self._quiet([*arrivals, *others]))
        return [*arrivals, quiet, *others]

    def write_events_while_off(self, directory: Path) -> Path:
        """Events for the app that is off alone."""
        only = {"installation_id": _installation(RETIRED), "project_id": PROJECT}
        events = [registering.event(ORGANIZATION, event, "created", **only) for event in WHILE_OFF]
        return _write(directory / "while-off.json", events)

    def lines_while_off(self) -> list[Line]:
        """What must come true of those."""
        return [Line(RETIRED, "is off: its events are kept", self._kept)]

    def lines_afterwards(self) -> list[Line]:
        """What must come true once the endpoint is repaired and the app on again."""
        return [
            Line(RETIRED, "is on again", self._switched_on),
            Line(RETIRED, "gets what was kept, once", self._replayed),
        ]

    def _gone_for_now(self, seen: int) -> Reply:
        return ok(seen) if self.repaired else gone(seen)

    def _kept(self) -> str | None:
        kept = {record.delivery_id for record in attempts.replayable(RETIRED, None, 100)}
        return f"{len(kept)} kept, none sent" if self._while_off <= kept else None

    def _switched_on(self) -> str | None:
        app = find(App, RETIRED)
        return f"on, generation {int(app.generation)}" if app and app.state == ENABLED else None

    def _replayed(self) -> str | None:
        copies = self.endpoints[RETIRED].copies
        return "each arrived once" if all(copies[webhook] == 1 for webhook in self._while_off) else None

    @property
    def _while_off(self) -> set[str]:
        return {delivery_id(ORGANIZATION, event, _installation(RETIRED)) for event in WHILE_OFF}

    @property
    def received(self) -> list[Received]:
        """Every request at every endpoint."""
        return [request for endpoint in self.endpoints.values() for request in endpoint.received]

    def _arrival(self, kind: str) -> Received | None:
        wanted = _webhook_id(PAGER, kind)
        return next((r for r in self.endpoints[PAGER].received if r.webhook_id == wanted), None)

    def _arrived(self, kind: str) -> str | None:
        request = self._arrival(kind)
        if request is None or not request.verified:
            return None
        return "arrived; standardwebhooks and the classic HMAC header both verify"

    def _quiet(self, others: list[Line]) -> str | None:
        # Nothing is only worth something once everything else has come.
        if self.endpoints[BOARD].received or not all(line.held for line in others):
            return None
        return "got nothing, as it should be"

    def _switched_off(self) -> str | None:
        app = find(App, RETIRED)
        return f"switched off, generation {int(app.generation)}" if app and app.state == DISABLED else None

    def _mailed(self) -> str | None:
        return next((f"{m['Subject']!r} to {', '.join(m['To'])}" for m in self.stack.mails()), None)

    def _timed_out(self) -> str | None:
        waits = [self._wait(kind) for kind in KINDS]
        if any(wait is None for wait in waits):
            return None
        return f"timed out; the pager had the same events {min(w for w in waits if w):.1f} s earlier or more"

    def _wait(self, kind: str) -> float | None:
        """Seconds from the pager's arrival to the end of the hanging endpoint's first attempt."""
        record, arrival = attempts.load(_webhook_id(SLEEPY, kind)), self._arrival(kind)
        if record is None or arrival is None or not record.attempts:
            return None
        requests = [r for r in self.endpoints[SLEEPY].received if r.webhook_id == record.delivery_id]
        first = record.attempts[0]
        if first["result"] != "timeout" or not requests:
            return None
        lead = requests[0].at + first["ms"] / 1000 - arrival.at
        return lead if lead > 0 else None


def _installation(app: str) -> str:
    return f"{app}-at-{ORGANIZATION}"


def _event_id(kind: str) -> str:
    return f"demo-{kind}"


def _webhook_id(app: str, kind: str) -> str:
    return delivery_id(ORGANIZATION, _event_id(kind), _installation(app))


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document, indent=2))
    return path
