"""A registry as a file that changes nothing when it is applied. Pure.

Every key is written, so that the file brings back what is changed later. Secrets and headers' values are named
by variables of the environment.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ruamel.yaml import YAML

from infra.cli.registry import oauth2
from infra.cli.registry.events import collapse
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, Spec
from infra.cli.registry.secret_values import CLIENT_SECRET

HEADER = """\
# Written by bellhop export. Every entry has every key, so applying the file changes back what was changed since.
# No secret is in it: each is named by a variable of the environment. Where that is not set, the stored one stays.
"""
PREFIX = "BELLHOP"  # of the variables

_WIDTH = 100_000  # columns: no value is broken


@dataclass(frozen=True, slots=True)
class Export:
    """The file as plain values, and what it leaves out."""

    document: Mapping[str, Any]
    problems: tuple[str, ...]


def export(specs: Iterable[Spec], signatures: Mapping[str, str]) -> Export:
    """The file of everything that is registered; `signatures` are those of the apps that have a secret."""
    every = list(specs)
    exporter = _Exporter(_slugs(every), signatures)
    organizations = {
        spec.slug: _organization(spec) for spec in _sorted(every, OrganizationSpec, exporter.is_named)
    }
    apps = {spec.app_id: exporter.app(spec) for spec in _sorted(every, AppSpec)}
    installations = [
        exporter.installation(spec)
        for spec in _sorted(every, InstallationSpec)
        if exporter.can_be_installed(spec, apps)
    ]
    sections = {"organizations": organizations, "apps": apps, "installations": installations}
    return Export({name: section for name, section in sections.items() if section}, tuple(exporter.problems))


def text(document: Mapping[str, Any]) -> str:
    """The file."""
    yaml = YAML(typ="safe", pure=True)
    # In brackets, what begins with ? or : is written as it cannot be read again.
    yaml.default_flow_style, yaml.allow_unicode, yaml.width = False, True, _WIDTH
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    written = io.StringIO()
    yaml.dump(dict(document), written)
    return HEADER + written.getvalue()


@dataclass
class _Exporter:
    slugs: Mapping[str, str]  # by the organisation's id
    signatures: Mapping[str, str]  # by app
    problems: list[str] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)

    def is_named(self, spec: OrganizationSpec) -> bool:
        """Whether no other organisation before it has its slug."""
        if self.slugs.get(spec.organization_id) == spec.slug:
            return True
        self.problems.append(
            f"{spec.label} ({spec.organization_id}) is left out: another one has its slug; "
            f"apply another slug with `id: {spec.organization_id}`"
        )
        return False

    def app(self, spec: AppSpec) -> dict[str, Any]:
        """An app's entry."""
        entry: dict[str, Any] = {"name": spec.name, "kind": spec.kind, "organization": self._owner(spec)}
        if spec.organization_id and entry["organization"] is None:
            del entry["organization"]
        entry |= {"url": spec.url, "events": list(collapse(spec.events))}
        named = {name: {"env": self._variable(spec.app_id, name)} for name in spec.headers or {}}
        entry |= {"headers": named or None, "max_per_second": spec.max_per_second}
        entry |= {"auto_enable": bool(spec.auto_enable), "transform": spec.transform}
        entry["oauth2"] = self._oauth2(spec)
        if spec.app_id in self.signatures:
            entry["signature"] = self.signatures[spec.app_id]
            entry["secret_env"] = self._variable(spec.app_id, "secret")
        return entry

    def _oauth2(self, spec: AppSpec) -> dict[str, Any] | None:
        if spec.oauth2 is None:
            return None
        secret = {"env": self._variable(spec.app_id, CLIENT_SECRET)}
        return dict.fromkeys(oauth2.FIELDS) | dict(spec.oauth2) | {CLIENT_SECRET: secret}

    def _owner(self, spec: AppSpec) -> str | None:
        if spec.organization_id and spec.organization_id not in self.slugs:
            self.problems.append(f"{spec.label}: its organisation {spec.organization_id} is not registered")
        return self.slugs.get(spec.organization_id or "")

    def can_be_installed(self, spec: InstallationSpec, apps: Mapping[str, Any]) -> bool:
        """Whether the file has what the installation refers to."""
        absent = [name for name in (spec.app_id,) if name not in apps]
        absent += [name for name in (spec.organization_id,) if name not in self.slugs]
        if absent:
            self.problems.append(f"{spec.label} is left out: {', '.join(absent)} is not in the file")
        return not absent

    def installation(self, spec: InstallationSpec) -> dict[str, Any]:
        """An installation's entry."""
        return {
            "app": spec.app_id,
            "organization": self.slugs[spec.organization_id],
            "id": spec.installation_id,
            "status": spec.status,
            "events": list(collapse(spec.events)),
            "projects": None if spec.projects is None else list(spec.projects),
            "filter": spec.filter,
        }

    def _variable(self, app_id: str, name: str) -> str:
        """A name that no other value of the file has."""
        wanted = re.sub(r"[^A-Z0-9]", "_", f"{PREFIX}_{app_id}_{name}".upper())
        number, found = 1, wanted
        while found in self.variables:
            number += 1
            found = f"{wanted}_{number}"
        self.variables.add(found)
        return found


def _organization(spec: OrganizationSpec) -> dict[str, Any]:
    return {"id": spec.organization_id, "name": spec.name, "owners": list(spec.owners), "warnings": spec.warnings}


def _slugs(specs: Iterable[Spec]) -> dict[str, str]:
    """The slug of each organisation by its id, the first of those that have the same."""
    by_slug: dict[str, str] = {}
    for spec in _sorted(specs, OrganizationSpec):
        by_slug.setdefault(spec.slug, spec.organization_id)
    return {organization_id: slug for slug, organization_id in by_slug.items()}


S = TypeVar("S", OrganizationSpec, AppSpec, InstallationSpec)


def _sorted(specs: Iterable[Spec], kind: type[S], wanted: Callable[[S], bool] = lambda _: True) -> list[S]:
    found = [spec for spec in specs if isinstance(spec, kind)]
    return [
        spec for spec in sorted(found, key=lambda spec: [getattr(spec, name) for name in kind.KEY]) if wanted(spec)
    ]
