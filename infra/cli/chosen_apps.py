"""Which apps are meant: those that are named, or all that are installed in an organisation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bellhop.deliveries import delivery_id
from bellhop.registry import Installation, Organization, find
from infra.cli.errors import CommandError
from infra.cli.views import load_app


@dataclass(frozen=True, slots=True)
class Within:
    """An organisation, with the ids of an app's installations there: only its deliveries are meant."""

    organization_id: str
    installation_ids: Collection[str]

    def has(self, name: str, event_id: str, organization_id: str | None) -> bool:
        """Whether a delivery of the app, by its id, is one of the organisation's.

        The log of what succeeded at once names no organisation, but the id tells.
        """
        if organization_id is not None:
            return organization_id == self.organization_id
        return name in (delivery_id(self.organization_id, event_id, each) for each in self.installation_ids)


def choose(app_ids: Sequence[str], organization_id: str | None) -> dict[str, Within | None]:
    """The apps that are meant, each with the organisation to which that is confined.

    Raises:
        CommandError: there is no such app, or it is not installed there.
    """
    named = [load_app(app_id).app_id for app_id in app_ids]
    if not organization_id:
        return dict.fromkeys(named)
    installed: dict[str, list[str]] = {}
    for each in Installation.query(organization_id):
        installed.setdefault(each.app_id, []).append(each.installation_id)
    if not installed:
        known = find(Organization, organization_id) is not None
        unknown = f"no organisation {organization_id!r}: `bellhop apps` lists those of internal apps"
        raise CommandError(f"nothing is installed in {organization_id!r}" if known else unknown)
    elsewhere = [app_id for app_id in named if app_id not in installed]
    if elsewhere:
        where = f"`bellhop app {elsewhere[0]}` shows where it is"
        raise CommandError(f"{', '.join(elsewhere)} not installed in {organization_id!r}: {where}")
    return {app_id: Within(organization_id, installed[app_id]) for app_id in named or sorted(installed)}
