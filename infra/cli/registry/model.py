"""What a registry file names, and what is asked for once that is laid over what is registered.

An entry has only the keys that the file has. A spec is whole: each field is the attribute of the same name in the
tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

from infra.cli.registry.document import Path, Problem


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

    The values of `headers` may be secrets; one of `oauth2` is. `max_per_second` None means no limit. `auto_enable`
    is True or None. `transform` None means the body as it is.
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
    transform: str | None = None
    oauth2: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """Its name in a plan."""
        return f"app {self.app_id}"


@dataclass(frozen=True, slots=True)
class InstallationSpec:
    """An installation with its hook; `projects` None means every project, `filter` None every event."""

    KEY: ClassVar[tuple[str, ...]] = ("organization_id", "installation_id")
    organization_id: str
    installation_id: str
    app_id: str
    status: str
    events: tuple[str, ...]
    projects: tuple[str, ...] | None
    filter: str | None = None

    @property
    def label(self) -> str:
        """Its name in a plan."""
        return f"installation of {self.app_id} in {self.organization_id} ({self.installation_id})"


Spec = OrganizationSpec | AppSpec | InstallationSpec
Key = tuple[str, ...]


def key(spec: Spec) -> Key:
    """What identifies a spec: its kind, then the key of its item."""
    return (type(spec).__name__, *(getattr(spec, name) for name in spec.KEY))


def organization_key(organization_id: str) -> Key:
    """The key of an organisation's spec."""
    return (OrganizationSpec.__name__, organization_id)


def app_key(app_id: str) -> Key:
    """The key of an app's spec."""
    return (AppSpec.__name__, app_id)


def installation_key(organization_id: str, installation_id: str) -> Key:
    """The key of an installation's spec."""
    return (InstallationSpec.__name__, organization_id, installation_id)


class Reference(Enum):
    """A value that stands somewhere else."""

    UNSET = "a variable of the environment that is not set"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file says about one item.

    `fields` has the keys that it names, in the form of a spec's fields; None asks for the default. Others are
    referred to by slug. `path` is its place in the file. Values may be secret.
    """

    path: Path
    fields: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """A file's entries: organisations and apps by slug, and installations.

    `secrets` are the signing secrets to import, by app; UNSET where the file names a variable that is not set.
    `signatures`, by app: how webhooks are to be signed, where the file says so.
    `problems` are those that the file has on every stack. What was refused reads as None.
    """

    organizations: Mapping[str, Entry] = field(default_factory=dict)
    apps: Mapping[str, Entry] = field(default_factory=dict)
    installations: tuple[Entry, ...] = ()
    secrets: Mapping[str, str | Reference] = field(default_factory=dict, repr=False)
    signatures: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()

    def problem(self, path: Path, message: str) -> Problem:
        """What is wrong with the value at `path`."""
        known = next((path[:length] for length in range(len(path), 0, -1) if path[:length] in self.lines), ())
        return Problem.of(self.lines.get(known, 0), path, message)
