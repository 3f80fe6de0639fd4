"""Who gets events, by what is registered now: the same decisions as notify's, made before the events are sent."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pynamodb.connection import Connection

from bellhop import handled_events
from bellhop.clock import utc_now
from bellhop.deliveries import Delivery
from bellhop.events import IssueEvent
from bellhop.registry import App, Installation, Organization
from health.mail.wording import counted
from infra.cli.condition import OFF, PAUSED, read_conditions
from infra.cli.stack import Stack
from infra.cli.text import unix_time
from notify.duplicates import DUPLICATE
from notify.fanout import decide
from notify.payload import Payload

ORGANIZATIONS = 20  # that are looked up: each is a query
INSTALLATIONS = 1000  # of an organisation that are looked at


@dataclass(frozen=True, slots=True)
class Destination:
    """A delivery that an event is to have, with its body if a transform makes it."""

    position: int
    app_id: str
    delivery_id: str
    transformed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Why an app gets no delivery of an event; without `app_id`, why nobody gets one."""

    reason: str
    app_id: str = ""


@dataclass
class Outlook:
    """What is to become of each event, by its position.

    `skips` has why it gets no delivery, or which apps get none. `faulty` has an event on which a filter
    cannot be evaluated, by the app and why; `failing` the same of transforms. `copies` are duplicates, which are
    dropped; each with when the event was fanned out, in Unix seconds. Events of `unknown` organisations were not
    looked up.
    """

    destinations: list[Destination] = field(default_factory=list)
    skips: dict[int, list[Skip]] = field(default_factory=lambda: defaultdict(list))
    copies: dict[int, float] = field(default_factory=dict)
    faulty: dict[tuple[str, str], str] = field(default_factory=dict)
    failing: dict[tuple[str, str], str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)

    @property
    def apps(self) -> list[str]:
        """The apps that are to get something."""
        return sorted({destination.app_id for destination in self.destinations})

    @property
    def transformed(self) -> dict[str, tuple[int, bytes]]:
        """Of each app with a transform, the position of the first event that it gets, and the body."""
        last_to_first = reversed(self.destinations)
        return {
            each.app_id: (each.position, each.transformed)
            for each in last_to_first
            if each.transformed is not None
        }

    @property
    def reached(self) -> set[int]:
        """The events that some app is to get, by their positions."""
        return {destination.position for destination in self.destinations}


def look(events: Sequence[IssueEvent], duplicates: Connection | None = None) -> Outlook:
    """Look the events' destinations up on the stack that the models are bound to.

    `duplicates` is the connection by which to look for events that were fanned out before, on a stack that drops
    copies of these.
    """
    organizations = list(dict.fromkeys(event.organization_id for event in events))
    outlook = Outlook(unknown=set(organizations[ORGANIZATIONS:]))
    registered = [row.organization_id for row in Organization.batch_get(organizations[:ORGANIZATIONS])]
    hooks = {name: list(Installation.query(name, limit=INSTALLATIONS)) for name in registered}
    named = {one.app_id for installations in hooks.values() for one in installations}
    apps = {app.app_id: app for app in App.batch_get(list(named))}
    known = handled_events.find(events, duplicates, utc_now().timestamp()) if duplicates else {}
    for position, event in enumerate(events):
        handled_at = known.get(handled_events.key(event)) if known else None
        if handled_at:
            outlook.copies[position] = handled_at
            outlook.skips[position].append(Skip(DUPLICATE))
        elif event.organization_id in hooks:
            _decide(position, event, hooks[event.organization_id], apps, outlook)
        elif event.organization_id not in outlook.unknown:
            outlook.skips[position].append(Skip("missing_organization"))
    _, standing = read_conditions(outlook.apps, utc_now())
    outlook.off = {name for name, each in standing.items() if each.name == OFF}
    outlook.paused = {name for name, each in standing.items() if each.name == PAUSED}
    return outlook


def warnings(events: Sequence[IssueEvent], outlook: Outlook, found: Stack) -> Iterator[str]:
    """What will keep events from arriving, as far as it is known."""
    reached = outlook.reached | outlook.copies.keys()
    lost: dict[tuple[str, str, str], list[str]] = {}
    for position, skips in outlook.skips.items():
        if position not in reached:
            event = events[position]
            key = (event.organization_id, event.name, ", ".join(sorted({skip.reason for skip in skips})))
            lost.setdefault(key, []).append(event.event_id)
    for (organization_id, name, why), ids in lost.items():
        if why == "missing_organization":
            yield f"organisation {organization_id} is not registered: nobody gets {name} ({_ids(ids)})"
        else:
            yield f"no installation of {organization_id} wants {name} ({_ids(ids)}): {why}"
    for position, handled_at in outlook.copies.items():
        event = events[position]
        again = found.command(f"resend --event {event.event_id} --organization {event.organization_id}")
        when = unix_time(handled_at)
        yield f"event {event.event_id} was fanned out {when}: a duplicate is dropped; to send it again: {again}"
    yield from _app_warnings(outlook, found)
    if outlook.unknown:
        number = len(outlook.unknown)
        yield f"{counted(number, 'more organisation')} {'was' if number == 1 else 'were'} not looked up"


def _app_warnings(outlook: Outlook, found: Stack) -> Iterator[str]:
    for (app_id, fault), event_id in outlook.faulty.items():
        yield f"the filter of app {app_id} cannot be evaluated on {event_id}, so it keeps nothing back: {fault}"
    for (app_id, fault), event_id in outlook.failing.items():
        yield f"the transform of app {app_id} fails on {event_id}, so it does not get it: {fault}"
    for app_id in sorted(outlook.off):
        back = found.command(f"enable {app_id}")
        yield f"app {app_id} is switched off: what it gets is parked until `{back}`"
    for app_id in sorted(outlook.paused):
        yield f"app {app_id} is paused: what it gets is parked until its endpoint responds well again"


def _decide(
    position: int, event: IssueEvent, installations: Iterable[Installation], apps: dict[str, App], outlook: Outlook
) -> None:
    named = event.installation_id
    considered = [one for one in installations if named in {None, one.installation_id}]
    if not considered:
        outlook.skips[position].append(Skip("missing_installation" if named else "no_installations"))
    payload = Payload(event, utc_now().timestamp())
    for one in considered:
        app = apps.get(one.app_id)
        decision = decide(event, payload, one, app)
        if decision.filter_fault:
            outlook.faulty.setdefault((one.app_id, decision.filter_fault), event.event_id)
        if decision.transform_fault:
            outlook.failing.setdefault((one.app_id, decision.transform_fault), event.event_id)
        if isinstance(decision.outcome, Delivery):
            delivery = decision.outcome
            body = delivery.body if app and app.transform else None
            outlook.destinations.append(Destination(position, one.app_id, delivery.delivery_id, body))
        else:
            outlook.skips[position].append(Skip(decision.outcome, one.app_id))


def _ids(ids: Sequence[str]) -> str:
    return f"event {ids[0]}" if len(ids) == 1 else f"{len(ids):,} events, such as {ids[0]}"
