"""What `make run` shows: four apps, a few events, their effects, and how an app that was off is enabled again."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bellhop import app_lists, attempts
from bellhop.deliveries import delivery_id
from bellhop.registry import DISABLED, ENABLED, App, find
from infra.local import registering
from infra.local.receiver import Behaviour, ReceivedRequest, Receiver, gone, hang, ok, receiver
from infra.local.stack import Stack
from infra.local.webhook_server import PlannedResponse

ORGANIZATION = "acme"
OWNER = "ada@acme.example"
KINDS = ("created", "resolved", "assigned")
WHILE_OFF = tuple(f"while-off-{number}" for number in range(1, 4))
PROJECT, OTHER_PROJECT = "frontend", "backend"
SECRET = "5e" * 32  # known beforehand, so that the endpoints can verify every webhook

PAGER, BOARD, RETIRED, SLEEPY = "on-call-pager", "backend-board", "retired-bot", "sleepy-bot"


@dataclass
class Expectation:
    """Something that must come true. `observe` describes how it did, and returns None until then."""

    app: str
    promise: str
    observe: Callable[[], str | None]
    observation: str | None = None

    def has_just_come_true(self) -> bool:
        """Observe, unless it came true before."""
        if self.observation is None:
            self.observation = self.observe()
            return self.observation is not None
        return False


@dataclass
class DemoScript:
    """The endpoints of the apps, in a stack that they are registered with."""

    stack: Stack
    exit_stack: ExitStack
    endpoints: dict[str, Receiver] = field(default_factory=dict)
    repaired: bool = False

    def __post_init__(self) -> None:
        behaviours: dict[str, Behaviour] = {PAGER: ok, BOARD: ok, RETIRED: self._gone_until_repaired, SLEEPY: hang}
        for app, behaviour in behaviours.items():
            self.endpoints[app] = self.exit_stack.enter_context(receiver(behaviour, SECRET))

    def write_registry(self, directory: Path) -> Path:
        """Write the registry file of the demo. It is JSON, which is YAML too."""
        apps = {
            app: {"organization": ORGANIZATION, "url": endpoint.url, "events": ["issue"], "secret": SECRET}
            for app, endpoint in self.endpoints.items()
        }
        installations: list[dict[str, Any]] = [
            {"app": app, "organization": ORGANIZATION, "id": _installation_id(app)} for app in apps
        ]
        installations[list(apps).index(BOARD)]["projects"] = [OTHER_PROJECT]
        organizations = {ORGANIZATION: {"name": "Acme", "owners": [OWNER]}}
        document = {"organizations": organizations, "apps": apps, "installations": installations}
        return _write(directory / "registry.yaml", document)

    def write_events(self, directory: Path) -> Path:
        """Write the events of the demo for `bellhop publish`."""
        events = [registering.event(ORGANIZATION, _event_id(k), k, project_id=PROJECT) for k in KINDS]
        return _write(directory / "events.json", events)

    def expectations(self) -> list[Expectation]:
        """What must come true of these events."""
        arrivals = [Expectation(PAGER, f"issue.{kind} arrives", partial(self._arrived, kind)) for kind in KINDS]
        others = [
            Expectation(RETIRED, "410: it is switched off", self._switched_off),
            Expectation(RETIRED, "its owner gets a mail", self._mailed),
            Expectation(SLEEPY, "hangs; neighbours do not wait", self._timed_out),
        ]
        received_nothing = partial(self._received_nothing, [*arrivals, *others])
        nothing = Expectation(BOARD, f"wants project {OTHER_PROJECT} only", received_nothing)
        return [*arrivals, nothing, *others]

    def write_events_while_off(self, directory: Path) -> Path:
        """Write events for the app that is off, and for no other."""
        only = {"installation_id": _installation_id(RETIRED), "project_id": PROJECT}
        events = [registering.event(ORGANIZATION, event, "created", **only) for event in WHILE_OFF]
        return _write(directory / "while-off.json", events)

    def expectations_while_off(self) -> list[Expectation]:
        """What must come true of the events for the app that is off."""
        return [Expectation(RETIRED, "off: its deliveries are parked", self._parked)]

    def expectations_after_repair(self) -> list[Expectation]:
        """What must come true once the endpoint is repaired and the app is enabled again."""
        return [
            Expectation(RETIRED, "is on again", self._switched_on),
            Expectation(RETIRED, "gets what was parked, once", self._replayed),
        ]

    def _gone_until_repaired(self, seen: int) -> PlannedResponse:
        return ok(seen) if self.repaired else gone(seen)

    def _parked(self) -> str | None:
        parked = {record.delivery_id for record in app_lists.replayable(RETIRED, None, 100)}
        return f"{len(parked)} parked, none sent" if self._deliveries_while_off <= parked else None

    def _switched_on(self) -> str | None:
        app = find(App, RETIRED)
        return f"on, generation {int(app.generation)}" if app and app.state == ENABLED else None

    def _replayed(self) -> str | None:
        copies = self.endpoints[RETIRED].copies
        return "each arrived once" if all(copies[webhook] == 1 for webhook in self._deliveries_while_off) else None

    @property
    def _deliveries_while_off(self) -> set[str]:
        return {delivery_id(ORGANIZATION, event, _installation_id(RETIRED)) for event in WHILE_OFF}

    @property
    def received(self) -> list[ReceivedRequest]:
        """Every request at every endpoint."""
        return [request for endpoint in self.endpoints.values() for request in endpoint.received]

    def _arrival(self, kind: str) -> ReceivedRequest | None:
        wanted = _webhook_id(PAGER, kind)
        return next((r for r in self.endpoints[PAGER].received if r.webhook_id == wanted), None)

    def _arrived(self, kind: str) -> str | None:
        request = self._arrival(kind)
        if request is None or not request.verified:
            return None
        return "verifies in both schemes"

    def _received_nothing(self, others: list[Expectation]) -> str | None:
        # That nothing arrived proves something only when everything else has come true.
        if self.endpoints[BOARD].received or not all(other.observation for other in others):
            return None
        return "got nothing"

    def _switched_off(self) -> str | None:
        app = find(App, RETIRED)
        return f"off, generation {int(app.generation)}" if app and app.state == DISABLED else None

    def _mailed(self) -> str | None:
        return next((f"to {', '.join(m['To'])}" for m in self.stack.mails()), None)

    def _timed_out(self) -> str | None:
        leads = [lead for kind in KINDS if (lead := self._lead(kind))]
        if len(leads) < len(KINDS):
            return None
        return f"{PAGER} was {min(leads):.1f} s earlier"

    def _lead(self, kind: str) -> float | None:
        """Seconds from the arrival at the pager to the end of the first attempt at the hanging endpoint."""
        record, arrival = attempts.load(_webhook_id(SLEEPY, kind)), self._arrival(kind)
        if record is None or arrival is None or not record.attempts:
            return None
        requests = [r for r in self.endpoints[SLEEPY].received if r.webhook_id == record.delivery_id]
        first = record.attempts[0]
        if first["result"] != "timeout" or not requests:
            return None
        lead = requests[0].at + first["ms"] / 1000 - arrival.at
        return lead if lead > 0 else None


def _installation_id(app: str) -> str:
    return f"{app}-at-{ORGANIZATION}"


def _event_id(kind: str) -> str:
    return f"demo-{kind}"


def _webhook_id(app: str, kind: str) -> str:
    return delivery_id(ORGANIZATION, _event_id(kind), _installation_id(app))


def _write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document, indent=2))
    return path
