"""Which installations of an organisation want an event."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bellhop import deliveries
from bellhop.deliveries import Delivery
from bellhop.events import IssueEvent, subscribed_name
from bellhop.registry import App, Installation, Organization
from bellhop.subscription import refusal
from notify.payload import Payload


class Hooks(Protocol):
    """What the fan-out reads from the registry."""

    def organization(self, organization_id: str) -> Organization | None:
        """The organisation, or None."""

    def app(self, app_id: str) -> App | None:
        """The app, or None."""

    def installations(self, organization_id: str) -> list[Installation]:
        """Every installation of the organisation."""


@dataclass(slots=True)
class FanOut:
    """An event's deliveries, and the installations that get none, by the reason."""

    deliveries: list[Delivery] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)


def fan_out(event: IssueEvent, hooks: Hooks) -> FanOut:
    """Decide for each installation that the event concerns whether it gets a delivery, and if not, why.

    Apps that are switched off get deliveries too: deliver alone decides what is parked.
    """
    result = FanOut()
    if hooks.organization(event.organization_id) is None:
        result.skipped["missing_organization"] = [event.organization_id]
        return result
    payload = Payload(event)
    for installation in _concerned(event, hooks, result):
        app = hooks.app(installation.app_id)
        decision = decide(event, payload, installation, app)
        if isinstance(decision, Delivery):
            result.deliveries.append(decision)
        else:
            result.skipped.setdefault(decision, []).append(installation.installation_id)
    return result


def decide(event: IssueEvent, payload: Payload, installation: Installation, app: App | None) -> Delivery | str:
    """The delivery for this installation, or the reason there is none."""
    reason = refusal(event.name, event.project_id, installation, app)
    if reason:
        return reason
    name = subscribed_name(event.name, installation.events) or event.name
    return _delivery(event, payload, name, installation)


def _concerned(event: IssueEvent, hooks: Hooks, result: FanOut) -> Iterator[Installation]:
    installations = hooks.installations(event.organization_id)
    wanted = event.installation_id
    found = [i for i in installations if wanted is None or i.installation_id == wanted]
    if not found:
        reason = "no_installations" if wanted is None else "missing_installation"
        result.skipped[reason] = [wanted] if wanted else []
    yield from found


def _delivery(event: IssueEvent, payload: Payload, name: str, installation: Installation) -> Delivery:
    return Delivery(
        delivery_id=deliveries.delivery_id(event.organization_id, event.event_id, installation.installation_id),
        event_id=event.event_id,
        event=name,
        app_id=installation.app_id,
        organization_id=event.organization_id,
        installation_id=installation.installation_id,
        project_id=event.project_id,
        body=payload.body(name.partition(".")[2], installation.installation_id),
    )
