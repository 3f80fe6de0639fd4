"""Which installations of an organisation want an event: one after the other, so that any number will do."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bellhop import deliveries, filters, transforms
from bellhop.deliveries import Delivery
from bellhop.events import IssueEvent
from bellhop.expressions import ExpressionError
from bellhop.registry import PAGE, App, Installation, Organization
from bellhop.subscription import ABOUT_INSTALLATIONS, refusal, subscribed_name
from bellhop.tables import UnreadableError
from notify.continuation import Cursor
from notify.payload import Payload

MAX_NAMED = 20  # skipped installations that are kept to be named, for each reason, and as many with a fault
FILTERED_OUT = "filtered_out"
TRANSFORM_FAILED = "transform_failed"
MAX_REFUSED = 400  # ids in a cursor; at 1 KiB, the longest, they and an event still fit into a queue message


class Hooks(Protocol):
    """What the fan-out reads from the registry."""

    def organization(self, organization_id: str) -> Organization | None:
        """The organisation, or None."""

    def app(self, app_id: str) -> App | None:
        """The app, or None."""

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        """One installation, or None."""

    def installations(self, organization_id: str, after: str | None = None) -> list[Installation]:
        """The next PAGE installations of the organisation by their ids; fewer are the last."""


class FanOut:
    """One event on its way to the installations that it concerns, from where `cursor` says.

    `sent_at` (Unix seconds) is when its message was sent; the cursor of a continuation knows better.

    `steps` hands out what is to be enqueued, and `accept` says that a delivery is on its queue. `cursor` says
    where to go on: whatever was handed out and not accepted counts as refused. So do those that are `unreadable`,
    as their own row or their app's cannot be read. What gets no delivery is in `skipped`, by the reason.
    `filter_faults` says whose filter could not be evaluated, and why; `transform_faults` whose transform, with its
    app.

    Apps that are switched off get deliveries too: deliver alone decides what is parked.
    """

    def __init__(self, event: IssueEvent, hooks: Hooks, sent_at: float, cursor: Cursor | None = None) -> None:
        self.event = event
        self.start = cursor or Cursor()
        self.published_at = self.start.published_at or sent_at
        self.payload = Payload(event, self.published_at)
        self.resumed = cursor is not None
        self.enqueued: list[str] = []
        self.refused: dict[str, None] = {}  # in the order in which they were handed out
        self.skipped: dict[str, list[str]] = {}
        self.skips: Counter[str] = Counter()
        self.filter_faults: dict[str, str] = {}
        self.filters_failed = 0
        self.transform_faults: dict[str, dict[str, str]] = {}
        self.unreadable: list[str] = []
        self._hooks = hooks
        self._after = self.start.after
        self._finished = self.start.finished
        self._refused_before = deque(self.start.refused)

    @property
    def done(self) -> bool:
        """Whether every installation was handled, and every delivery accepted."""
        return self._finished and not self._refused_before and not self.refused

    @property
    def progressed(self) -> bool:
        """Whether anything was settled since `start`."""
        return bool(self.enqueued or self.skips)

    @property
    def cursor(self) -> Cursor:
        """Where to go on."""
        refused = (*self._refused_before, *self.refused)
        enqueued = self.start.enqueued + len(self.enqueued)
        return Cursor(self._after, self._finished, refused, enqueued, self.published_at)

    def accept(self, delivery: Delivery) -> None:
        """The delivery is on its queue."""
        del self.refused[delivery.installation_id]
        self.enqueued.append(delivery.installation_id)

    def steps(self) -> Iterator[Delivery | None]:
        """For each installation its delivery, or None if it gets none; first those that were refused before."""
        if self._hooks.organization(self.event.organization_id) is None:
            self._skip("missing_organization", self.event.organization_id)
            self._finished = True
            self._refused_before.clear()
            return
        while self._refused_before:
            decision = self._decide(self._refused_before[0])
            installation_id = self._refused_before.popleft()  # once it is decided: the registry may not respond
            yield from self._settled(decision, installation_id)
        if not self._finished:
            yield from self._named() if self.event.installation_id else self._all()

    def _named(self) -> Iterator[Delivery | None]:
        wanted = self.event.installation_id or ""
        decision = self._decide(wanted)
        self._finished = True
        yield from self._settled(decision, wanted)

    def _all(self) -> Iterator[Delivery | None]:
        page = self._page()
        if not page and self._after is None:
            self._skip("no_installations")
        while page:
            for installation in page:
                if len(self.refused) >= MAX_REFUSED:
                    return
                decision = self._decide_for(installation)
                self._after = installation.installation_id
                yield from self._settled(decision, installation.installation_id)
            page = self._page() if len(page) == PAGE else []
        self._finished = True

    def _page(self) -> list[Installation]:
        return self._hooks.installations(self.event.organization_id, self._after)

    def _decide(self, installation_id: str) -> Delivery | str | None:
        try:
            installation = self._hooks.installation(self.event.organization_id, installation_id)
        except UnreadableError:
            return None
        return "missing_installation" if installation is None else self._decide_for(installation)

    def _decide_for(self, installation: Installation) -> Delivery | str | None:
        """The decision; None where the installation's row or its app's cannot be read.

        Policy: that counts as refused. So the other installations get the event, and a dead letter is left whose
        cursor names this one.
        """
        if not installation.app_id:
            return None
        try:
            app = self._hooks.app(installation.app_id)
        except UnreadableError:
            return None
        decision = decide(self.event, self.payload, installation, app)
        if decision.filter_fault:
            self.filters_failed += 1
            if len(self.filter_faults) < MAX_NAMED:
                self.filter_faults[installation.installation_id] = decision.filter_fault
        if decision.transform_fault and len(self.transform_faults) < MAX_NAMED:
            fault = {"app_id": installation.app_id, "reason": decision.transform_fault}
            self.transform_faults[installation.installation_id] = fault
        return decision.outcome

    def _settled(self, decision: Delivery | str | None, installation_id: str) -> Iterator[Delivery | None]:
        if decision is None:
            self.refused[installation_id] = None
            self.unreadable.append(installation_id)
            yield None
        elif isinstance(decision, Delivery):
            self.refused[installation_id] = None  # until it is accepted
            yield decision
        else:
            self._skip(decision, installation_id)
            yield None

    def _skip(self, reason: str, *names: str) -> None:
        self.skips[reason] += 1
        named = self.skipped.setdefault(reason, [])
        if len(named) < MAX_NAMED:
            named += names


@dataclass(frozen=True, slots=True)
class Decision:
    """The delivery for an installation, or the reason why there is none, and which expressions failed, and why."""

    outcome: Delivery | str
    filter_fault: str | None = None
    transform_fault: str | None = None


def decide(event: IssueEvent, payload: Payload, installation: Installation, app: App | None) -> Decision:
    """Whether this installation gets the event, and with which body.

    Policy: a filter that cannot be evaluated does not filter, because one webhook too few is seen by nobody. It is
    not asked about an event about the installation itself: that reaches the app in any case. Where a transform
    cannot be applied, there is no delivery: the receiver could not read another body, and its refusals would count
    against the app.
    """
    reason = refusal(event.name, event.project_id, installation, app)
    if reason:
        return Decision(reason)
    name = subscribed_name(event.name, installation.events) or event.name
    action, id_ = name.partition(".")[2], installation.installation_id
    fault = None
    if installation.filter and event.resource != ABOUT_INSTALLATIONS:
        try:
            if not filters.compiled(installation.filter).wants(payload.values(action, id_)):
                return Decision(FILTERED_OUT)
        except ExpressionError as error:
            fault = str(error)
    if app is None or not app.transform:
        return Decision(_delivery(event, name, payload.body(action, id_), installation), fault)
    try:
        body = transforms.compiled(app.transform).body(payload.values(action, id_))
    except ExpressionError as error:
        return Decision(TRANSFORM_FAILED, fault, str(error))
    return Decision(_delivery(event, name, body, installation), fault)


def _delivery(event: IssueEvent, name: str, body: bytes, installation: Installation) -> Delivery:
    return Delivery(
        delivery_id=deliveries.delivery_id(event.organization_id, event.event_id, installation.installation_id),
        event_id=event.event_id,
        event=name,
        app_id=installation.app_id,
        organization_id=event.organization_id,
        installation_id=installation.installation_id,
        project_id=event.project_id,
        body=body,
    )
