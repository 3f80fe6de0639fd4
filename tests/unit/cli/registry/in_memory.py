"""What is registered on a stack, in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from deliver.http.guard import EndpointPolicy
from infra.cli.registry import plan
from infra.cli.registry.loading import parse
from infra.cli.registry.model import InstallationSpec, Key, OrganizationSpec, Spec, key
from infra.cli.registry.plan import Plan
from infra.cli.registry.resolving import Desired, resolve


@dataclass
class InMemory:
    """Implements `resolving.Registered`."""

    items: Iterable[Spec] = ()
    stored_secrets: Mapping[str, str] = field(default_factory=dict)
    names_resting: Mapping[str, datetime] = field(default_factory=dict)

    def slugs(self) -> Mapping[str, str]:
        return {spec.organization_id: spec.slug for spec in self.items if isinstance(spec, OrganizationSpec)}

    def specs(self, keys: Iterable[Key]) -> Mapping[Key, Spec]:
        wanted = set(keys)
        return {key(spec): spec for spec in self.items if key(spec) in wanted}

    def installations(self, app_id: str, organization_id: str | None = None) -> list[InstallationSpec]:
        found = [spec for spec in self.items if isinstance(spec, InstallationSpec) and spec.app_id == app_id]
        return [spec for spec in found if organization_id in {None, spec.organization_id}]

    def resting(self, app_ids: Iterable[str]) -> Mapping[str, datetime]:
        return {app: self.names_resting[app] for app in app_ids if app in self.names_resting}

    def secrets(self, app_ids: Iterable[str]) -> Mapping[str, str]:
        return {app: self.stored_secrets[app] for app in app_ids if app in self.stored_secrets}


def desired(text: str, registered: InMemory | None = None, environ: Mapping[str, str] | None = None) -> Desired:
    return resolve(parse(text, EndpointPolicy(), environ or {}), registered or InMemory())


def planned(text: str, registered: InMemory, environ: Mapping[str, str] | None = None) -> Plan:
    return plan.make(
        desired(text, registered, environ), frozenset(), lambda signature: f"generated for {signature}"
    )
