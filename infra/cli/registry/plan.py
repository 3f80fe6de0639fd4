"""What a registry file would change on a stack. Pure: what is desired and what is stored in, changes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from bellhop.registry import INSTALLED, UNINSTALLED, App, Installation, Organization
from bellhop.secrets import HMAC
from infra.cli.registry import secret_values
from infra.cli.registry.events import collapse
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, Spec, key
from infra.cli.registry.resolving import Desired
from infra.cli.registry.secret_values import HEADERS

_SPECS: dict[type, Callable[..., Spec]] = {
    Organization: OrganizationSpec,
    App: AppSpec,
    Installation: InstallationSpec,
}


@dataclass(frozen=True, slots=True)
class Change:
    """An item to create, or to update: `fields` are the attributes that change, old and new.

    `moves_headers`: an app's headers go from the table Apps to the table Secrets, changed or not.
    """

    spec: Spec
    creates: bool
    fields: Mapping[str, tuple[Any, Any]] = field(repr=False)  # may hold secrets
    moves_headers: bool = False

    @property
    def uninstalls(self) -> bool:
        """Whether it ends an installation."""
        return not self.creates and self.fields.get("status", ("", ""))[1] == UNINSTALLED

    @property
    def takes_away(self) -> list[str]:
        """What is there now, and will not be; without the values of headers and credentials."""
        return [] if self.creates else [text for name, pair in self.fields.items() for text in _lost(name, *pair)]


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, in the order to make them, and what an operator should know beside them.

    `secrets`, by app, are to be stored; those of the apps in `generated` are new, and shown.
    """

    changes: tuple[Change, ...]
    unchanged: int
    secrets: Mapping[str, str] = field(repr=False)
    generated: frozenset[str]
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.changes and not self.secrets


def make(desired: Desired, unmoved: frozenset[str], generate: Callable[[str], str]) -> Plan:
    """The plan that makes the stack what the file asks for; `generate` returns a new secret for a signature.

    `unmoved` are the apps whose headers stand in the table Apps, where 0.1.0 wrote them and notify and health can
    read them. Installations end first: an app that becomes internal must not be installed elsewhere meanwhile.
    """
    found = [
        change_of(spec, desired.stored.get(key(spec)), moves_headers=_is_unmoved(spec, unmoved))
        for spec in desired.specs
    ]
    changes = sorted((change for change in found if change), key=lambda change: not change.uninstalls)
    without = [
        spec.app_id for spec in desired.specs if isinstance(spec, AppSpec) and spec.app_id not in desired.keyed
    ]
    generated = frozenset(app for app in without if app not in desired.imports)
    secrets = {
        app: generate(desired.signatures.get(app, HMAC)) if app in generated else desired.imports[app]
        for app in without
    }
    return Plan(tuple(changes), len(desired.specs) - len(changes), secrets, generated, desired.notes)


def spec_of(item: Organization | App | Installation) -> Spec:
    """A stored item as the spec that asks for it, as far as the item has it; lists in their stored order."""
    make_spec = _SPECS[type(item)]
    names = (f.name for f in fields(make_spec) if hasattr(item, f.name))  # type: ignore[arg-type]
    return make_spec(**{name: _plain(getattr(item, name)) for name in names})


def change_of(spec: Spec, stored: Spec | None, *, moves_headers: bool = False) -> Change | None:
    """What makes the stored item what is asked for; None when it is so already."""
    names = [f.name for f in fields(spec)]
    if stored is None:
        return Change(spec, creates=True, fields={n: (None, getattr(spec, n)) for n in names})
    pairs = {name: (getattr(stored, name), getattr(spec, name)) for name in names}
    moved = {HEADERS} if moves_headers else set[str]()
    differing = {name: pair for name, pair in pairs.items() if name in moved or not _same(*pair)}
    return Change(spec, creates=False, fields=differing, moves_headers=moves_headers) if differing else None


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_unmoved(spec: Spec, unmoved: frozenset[str]) -> bool:
    return isinstance(spec, AppSpec) and spec.app_id in unmoved


def _same(old: Any, new: Any) -> bool:
    # Every reader takes owners, events and projects for sets: another order is no change.
    if isinstance(old, tuple) and isinstance(new, tuple):
        return sorted(old) == sorted(new)
    return bool(old == new)


def _lost(name: str, old: Any, new: Any) -> Iterator[str]:
    """What a field that changes takes away, if anything."""
    if name in secret_values.FIELDS:
        yield from _listed(name, secret_values.removed(old, new))
    elif isinstance(old, tuple) and isinstance(new, tuple):
        gone = [item for item in old if item not in new]
        yield from _listed(name, collapse(gone) if name == "events" else gone)
    elif name in _TAKEN:
        before, text = _TAKEN[name]
        if old == before:
            yield text
    elif new is None:
        yield f"{name} {'true' if old is True else old}"


# Fields of which one value gives more than the others do.
_TAKEN: dict[str, tuple[Any, str]] = {
    "projects": (None, "events of other projects than those listed"),
    "transform": (None, "what its transform leaves out of the body"),
    "filter": (None, "events of which its filter is not true"),
    "status": (INSTALLED, "its events, as it is not installed any more"),
    "warnings": (True, "early warnings"),
}


def _listed(name: str, gone: Sequence[str]) -> Iterator[str]:
    if gone:
        yield f"{name} {', '.join(gone)}"
