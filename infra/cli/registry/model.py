"""What a registry file asks for. Each field is the attribute of the same name in the tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class OrganizationSpec:
    """An organisation; `owners` are mail addresses, `warnings` says whether they get early warnings."""

    KEY: ClassVar[tuple[str, ...]] = ("organization_id",)
    organization_id: str
    slug: str
    name: str
    owners: tuple[str, ...]
    warnings: bool = True

    @property
    def label(self) -> str:
        """Its name in a plan."""
        return f"organization {self.slug}"


@dataclass(frozen=True, slots=True)
class AppSpec:
    """An app, without what the running system decides: its state and generation.

    The values of `headers` may be secrets. `max_per_second` None means no limit. `auto_enable` is True or None.
    """

    KEY: ClassVar[tuple[str, ...]] = ("app_id",)
    app_id: str
    name: str
    kind: str
    organization_id: str | None
    url: str
    events: tuple[str, ...]
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    max_per_second: float | None = None
    auto_enable: bool | None = None

    @property
    def label(self) -> str:
        """Its name in a plan."""
        return f"app {self.app_id}"


@dataclass(frozen=True, slots=True)
class InstallationSpec:
    """An installation with its hook; `projects` None means every project."""

    KEY: ClassVar[tuple[str, ...]] = ("organization_id", "installation_id")
    organization_id: str
    installation_id: str
    app_id: str
    status: str
    events: tuple[str, ...]
    projects: tuple[str, ...] | None

    @property
    def label(self) -> str:
        """Its name in a plan."""
        return f"installation of {self.app_id} in {self.organization_id} ({self.installation_id})"


Spec = OrganizationSpec | AppSpec | InstallationSpec
Key = tuple[str, ...]


def key(spec: Spec) -> Key:
    """What identifies a spec: its kind, then the key of its item."""
    return (type(spec).__name__, *(getattr(spec, name) for name in spec.KEY))


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """Everything that a file asks for; `secrets` are the signing secrets to import, by app."""

    specs: tuple[Spec, ...]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
