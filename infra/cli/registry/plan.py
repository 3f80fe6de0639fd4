"""What a registry file would change on a stack. Pure: the desired and the current state in, changes out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bellhop.registry import INTERNAL, App, Installation, Organization
from infra.cli.registry.model import AppSpec, InstallationSpec, Key, OrganizationSpec, RegistryFile, Spec, key

_SPECS: dict[type, Callable[..., Spec]] = {
    Organization: OrganizationSpec,
    App: AppSpec,
    Installation: InstallationSpec,
}
_FIXED = {"app_id"}  # of an installation: another app in its place would inherit its webhook ids


class PlanConflictError(Exception):
    """The file asks for what apply never does; each of `problems` says what to do instead."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Current:
    """What the stack has of what the file names, and the stored secrets of its apps.

    `installed` says in which organisations the apps of `confined` are installed. `unmoved` are the apps whose
    headers stand in the table Apps, where 0.1.0 wrote them and notify and health can read them.
    """

    specs: Mapping[Key, Spec]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    installed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unmoved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """An item to create, or to update: `fields` are the attributes that change, old and new.

    `moves_headers`: an app's headers go from the table Apps to the table Secrets, changed or not.
    """

    spec: Spec
    creates: bool
    fields: Mapping[str, tuple[Any, Any]] = field(repr=False)  # may hold headers
    moves_headers: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, in the order to make them.

    `secrets`, by app, are to be stored; those of the apps in `generated` are new, and shown.
    """

    changes: tuple[Change, ...]
    unchanged: int
    secrets: Mapping[str, str] = field(repr=False)
    generated: frozenset[str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.changes and not self.secrets


def make(desired: RegistryFile, current: Current, generate: Callable[[], str]) -> Plan:
    """The plan that makes the stack what the file asks for; `generate` returns a new signing secret.

    Raises:
        PlanConflictError: the file would replace a secret, give an installation to another app, or leave an
            internal app installed in an organisation that does not own it.
    """
    pairs = [(spec, current.specs.get(key(spec))) for spec in desired.specs]
    found = [change_of(*pair, moves_headers=_is_unmoved(pair[0], current)) for pair in pairs]
    changes = [change for change in found if change]
    problems = [*_moved(changes), *_installed_elsewhere(desired, current), *_replaced(desired, current)]
    if problems:
        raise PlanConflictError(problems)
    apps = [spec.app_id for spec in desired.specs if isinstance(spec, AppSpec)]
    without = [app for app in apps if app not in current.secrets]
    generated = frozenset(app for app in without if app not in desired.secrets)
    secrets = {app: generate() if app in generated else desired.secrets[app] for app in without}
    return Plan(tuple(changes), len(desired.specs) - len(changes), secrets, generated)


def confined(desired: Iterable[Spec], stored: Mapping[Key, Spec]) -> list[str]:
    """The apps that the file makes internal, or internal to another organisation, than they are."""
    apps = [(spec, stored.get(key(spec))) for spec in desired if isinstance(spec, AppSpec)]
    return [
        spec.app_id
        for spec, old in apps
        if spec.kind == INTERNAL
        and isinstance(old, AppSpec)
        and (old.kind, old.organization_id) != (spec.kind, spec.organization_id)
    ]


def spec_of(item: Organization | App | Installation) -> Spec:
    """A stored item as the spec that asks for it; lists in their stored order."""
    make_spec = _SPECS[type(item)]
    return make_spec(**{f.name: _plain(getattr(item, f.name)) for f in fields(make_spec)})  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_unmoved(spec: Spec, current: Current) -> bool:
    return isinstance(spec, AppSpec) and spec.app_id in current.unmoved


def change_of(spec: Spec, stored: Spec | None, *, moves_headers: bool = False) -> Change | None:
    """What makes the stored item what is asked for; None when it is so already."""
    names = [f.name for f in fields(spec)]
    if stored is None:
        return Change(spec, creates=True, fields={n: (None, getattr(spec, n)) for n in names})
    pairs = {name: (getattr(stored, name), getattr(spec, name)) for name in names}
    moved = {"headers"} if moves_headers else set[str]()
    differing = {name: pair for name, pair in pairs.items() if name in moved or not _same(*pair)}
    return Change(spec, creates=False, fields=differing, moves_headers=moves_headers) if differing else None


def _same(old: Any, new: Any) -> bool:
    # Every reader takes owners, events and projects for sets: another order is no change.
    if isinstance(old, tuple) and isinstance(new, tuple):
        return sorted(old) == sorted(new)
    return bool(old == new)


def _moved(changes: Iterable[Change]) -> list[str]:
    return [
        f"{change.spec.label}: this id belongs to an installation of {change.fields['app_id'][0]}; "
        "give it another `id`"
        for change in changes
        if not change.creates and _FIXED & change.fields.keys()
    ]


def _installed_elsewhere(desired: RegistryFile, current: Current) -> list[str]:
    # Otherwise another customer's events would go on to it, and its failures there be mailed to the wrong owners.
    return [
        f"apps.{spec.app_id}: is to be internal to {spec.organization_id}, but is installed on this stack in "
        f"{', '.join(sorted(elsewhere))}; apply `status: uninstalled` there first, or use another slug"
        for spec in desired.specs
        if isinstance(spec, AppSpec)
        and (elsewhere := current.installed.get(spec.app_id, frozenset()) - {spec.organization_id})
    ]


def _replaced(desired: RegistryFile, current: Current) -> list[str]:
    return [
        f"apps.{app}: the secret differs from the stored one, which apply never replaces; "
        "rotate it, or drop the line to keep the stored one (bellhop rotate-secret)"
        for app, secret in desired.secrets.items()
        if current.secrets.get(app, secret) != secret
    ]
