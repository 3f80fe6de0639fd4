"""What a registry file asks for: its entries laid over what is registered.

A key that an entry does not name stays as it is, and None sets it to its default. An entry of an item that is not
registered makes it, from defaults. What would contradict itself is a problem of the file, or a note in the plan.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

from bellhop.client.contract import did_you_mean
from bellhop.registry import INSTALLED, INTERNAL, UNINSTALLED
from bellhop.secrets import signature_of
from bellhop.subscription import subscribed_name
from infra.cli.registry import headers, oauth2, secret_values
from infra.cli.registry.document import Path, Problem, RegistryFileError
from infra.cli.registry.model import (
    AppSpec,
    Entry,
    InstallationSpec,
    Key,
    OrganizationSpec,
    Reference,
    RegistryFile,
    Spec,
    app_key,
    installation_key,
    key,
    organization_key,
)
from infra.cli.registry.slugs import Slugs

# The default id of an installation is a UUIDv5 in this namespace, so that it is the same on every stack.
NAMESPACE = uuid.UUID("6f0c5d1e-3b0a-5d36-9c1b-8f6f0b9d2a47")
NAMED = 5  # organisations that a note names


class Registered(Protocol):
    """What resolving reads of a stack."""

    def slugs(self) -> Mapping[str, str]:
        """The slug of each registered organisation, by id."""
        ...

    def specs(self, keys: Iterable[Key]) -> Mapping[Key, Spec]:
        """Those of the items with these keys that are registered."""
        ...

    def installations(self, app_id: str, organization_id: str | None = None) -> Sequence[InstallationSpec]:
        """An app's installations, all or those in one organisation."""
        ...

    def resting(self, app_ids: Iterable[str]) -> Mapping[str, datetime]:
        """Those of these ids that are not given to another app yet, as theirs was deleted, and until when."""
        ...

    def secrets(self, app_ids: Iterable[str]) -> Mapping[str, str]:
        """The signing secrets of those of these apps that have one."""
        ...


@dataclass(frozen=True, slots=True)
class Desired:
    """What a file asks for, and what of it is `stored`.

    `imports` are the secrets to import, by app. The apps of `keyed` have a secret already, which stays; others get
    one for their signature in `signatures`. `notes` say what an operator should know about what stays as it is.
    """

    specs: tuple[Spec, ...]
    stored: Mapping[Key, Spec] = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict, repr=False)
    keyed: frozenset[str] = frozenset()
    signatures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def resolve(file: RegistryFile, registered: Registered) -> Desired:
    """What the file asks for on a stack. Only reads.

    Raises:
        RegistryFileError: with every problem of the file, not just the first.
    """
    slugs = Slugs(file, registered.slugs())
    return _Resolver(file, registered, slugs).resolve()


def installation_id(organization_id: str, app_id: str) -> str:
    """The id of an installation to which its file gives none."""
    return str(uuid.uuid5(NAMESPACE, f"{organization_id}\0{app_id}"))


@dataclass
class _Resolver:
    file: RegistryFile
    registered: Registered
    slugs: Slugs
    stored: dict[Key, Spec] = field(default_factory=dict)
    apps: dict[str, AppSpec] = field(default_factory=dict)  # those of the file, as they will be
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def resolve(self) -> Desired:
        self.problems += [*self.file.problems, *self.slugs.problems]
        ids = self.slugs.ids
        referred = {str(entry.fields.get("app")) for entry in self.file.installations}
        keys = [*map(organization_key, ids.values()), *map(app_key, [*self.file.apps, *referred])]
        self.stored.update(self.registered.specs(dict.fromkeys(keys)))
        organizations = [self._organization(slug, self.file.organizations[slug], ids[slug]) for slug in ids]
        for slug, entry in self.file.apps.items():
            self._app(slug, entry)
        self._refuse_names_that_rest()
        installations = self._installations()
        self._compare(installations)
        keyed = self.registered.secrets(self.file.apps)
        self._check_secrets(keyed)
        self._check_signatures(keyed)
        if self.problems:
            raise RegistryFileError(self.problems)
        imports = {app: text for app, text in self.file.secrets.items() if isinstance(text, str)}
        return Desired(
            specs=(*organizations, *self.apps.values(), *installations),
            stored=self.stored,
            imports={app: text for app, text in imports.items() if app not in keyed},
            keyed=frozenset(keyed),
            signatures=self.file.signatures,
            notes=tuple(self.notes),
        )

    def _report(self, path: Path, message: str) -> None:
        self.problems.append(self.file.problem(path, message))

    def _organization(self, slug: str, entry: Entry, organization_id: str) -> OrganizationSpec:
        stored = self.stored.get(organization_key(organization_id))
        if stored is None and "owners" not in entry.fields:
            hint = did_you_mean(slug, self.slugs.registered.values())
            message = "is new and has no `owners`; list who gets mail when an app is switched off ([] for nobody)"
            self._report(entry.path, message + hint)
        values = _merged(entry, stored, {"name": slug, "owners": (), "warnings": True})
        return OrganizationSpec(organization_id, slug, **values)

    def _app(self, slug: str, entry: Entry) -> None:
        """Note what the app will be, unless it is new and incomplete."""
        stored = self._stored_app(slug)
        fields = dict(entry.fields)
        if "organization" in fields:
            owner = fields["organization"]
            fields["organization_id"] = owner and self._organization_id((*entry.path, "organization"), owner)
        if "headers" in fields:
            fields["headers"] = self._headers(entry, stored)
        if "oauth2" in fields:
            fields["oauth2"] = secret_values.merge(stored.oauth2 if stored else None, fields["oauth2"])
        incomplete = [name for name in ("url", "events") if stored is None and name not in fields]
        for name in incomplete:
            self._report(entry.path, f"is new and has no `{name}`; add it")
        defaults = {"name": slug, "kind": INTERNAL, "organization_id": None, "url": "", "events": ()}
        defaults |= {"headers": None, "max_per_second": None, "auto_enable": None, "transform": None}
        defaults |= {"oauth2": None}
        spec = AppSpec(slug, **_merged(Entry(entry.path, fields), stored, defaults))
        self._check_oauth2(entry, stored, spec)
        unowned = spec.kind == INTERNAL and not spec.organization_id and not fields.get("organization")
        if unowned and _owner(spec) != (stored and _owner(stored)):
            self._report(
                entry.path, "is internal and has no `organization`; name its owner, or set another `kind`"
            )
        self.apps[slug] = spec

    def _refuse_names_that_rest(self) -> None:
        new = [slug for slug in self.file.apps if self._stored_app(slug) is None]
        for slug, until in self.registered.resting(new).items():
            # Another app under its name would inherit what is kept under it: retries, a log, counters.
            self._report(
                ("apps", slug), f"was deleted; nobody gets its slug before {until:%Y-%m-%d}: choose another one"
            )

    def _stored_app(self, slug: str) -> AppSpec | None:
        return cast("AppSpec | None", self.stored.get(app_key(slug)))

    def _headers(self, entry: Entry, stored: AppSpec | None) -> dict[str, str] | None:
        path, named = (*entry.path, "headers"), entry.fields["headers"]
        before = stored.headers if stored else None
        for name in headers.missing(before, named):
            message = "names a variable that is not set or empty, and no value is stored; export it"
            self._report((*path, name), message)
        merged = secret_values.merge(before, named)
        excess = headers.excess(merged)
        if excess and len(named or ()) <= headers.MAX_HEADERS:  # of more, the schema told
            self._report(path, excess)
        return merged

    def _check_oauth2(self, entry: Entry, stored: AppSpec | None, spec: AppSpec) -> None:
        path, before = (*entry.path, "oauth2"), stored.oauth2 if stored else None
        named = entry.fields.get("oauth2")
        if spec.oauth2 is not None or named is not None:
            for name, message in oauth2.problems(before, named or {}, spec.headers):
                self._report((*path, name) if name else path, message)

    def _organization_id(self, path: Path, slug: str) -> str | None:
        found = self.slugs.find(slug)
        if isinstance(found, str):
            return found
        self._report(path, f"is {slug!r}, which {found.message}")
        return None

    def _installations(self) -> list[InstallationSpec]:
        places = [self._place(entry) for entry in self.file.installations]
        self.stored.update(self.registered.specs(dict.fromkeys(place.key for place in places if place)))
        specs: dict[Key, tuple[Entry, InstallationSpec]] = {}
        for entry, place in zip(self.file.installations, places, strict=True):
            spec = self._installation(entry, place) if place else None
            if spec is None:
                continue
            first, _ = specs.setdefault(key(spec), (entry, spec))
            if first is not entry:
                line = self.file.lines.get(first.path, 0)
                message = f"is the same installation as in line {line}; merge them, or give one its own `id`"
                self._report(entry.path, message)
        return [spec for _, spec in specs.values()]

    def _place(self, entry: Entry) -> "_Place | None":
        slug, fields = entry.fields.get("app"), entry.fields
        app = (self.apps.get(slug) or self._stored_app(slug)) if slug else None
        if slug and app is None:
            hint = did_you_mean(slug, self.file.apps)
            message = f"is {slug!r}, which is neither an app of this file nor registered{hint}"
            self._report((*entry.path, "app"), message)
        owner = fields.get("organization")
        organization_id = owner and self._organization_id((*entry.path, "organization"), owner)
        if app is None or not organization_id:
            return None
        chosen = fields.get("id")
        return _Place(app, organization_id, chosen or installation_id(organization_id, app.app_id), "id" in fields)

    def _installation(self, entry: Entry, place: "_Place") -> InstallationSpec | None:
        stored = cast("InstallationSpec | None", self.stored.get(place.key))
        if stored is None and not place.chosen and self._stored_app(place.app.app_id):
            others = self.registered.installations(place.app.app_id, place.organization_id)
            if len(others) > 1:
                ids = ", ".join(sorted(other.installation_id for other in others))
                self._report(entry.path, f"is one of {len(others)} that are registered ({ids}); name one by `id`")
                return None
            stored = others[0] if others else None
        if stored and stored.app_id != place.app.app_id:
            # Another app in its place would inherit its webhook ids.
            message = f"belongs to an installation of {stored.app_id}; give this one another"
            self._report((*entry.path, "id"), message)
            return None
        if stored:
            self.stored[key(stored)] = stored
        spec = self._merged_installation(entry, place, stored)
        self._check_owner(entry, place.app, spec, stored)
        return spec

    def _merged_installation(
        self, entry: Entry, place: "_Place", stored: InstallationSpec | None
    ) -> InstallationSpec:
        app, before = place.app, self._stored_app(place.app.app_id)
        defaults = {"status": INSTALLED, "events": app.events, "projects": None, "filter": None}
        values = _merged(entry, stored, defaults)
        if "events" in entry.fields:
            for name in values["events"]:
                if subscribed_name(name, list(app.events)) is None:
                    message = f"lists {name}, which app {app.app_id} does not; add it to the app, or drop it here"
                    self._report((*entry.path, "events"), message)
        elif stored and before and set(stored.events) == set(before.events):
            values["events"] = app.events  # it had all that its app lists, and goes on to
        id_ = stored.installation_id if stored else place.installation_id
        return InstallationSpec(place.organization_id, id_, app.app_id, **values)

    def _check_owner(
        self, entry: Entry, app: AppSpec, spec: InstallationSpec, stored: InstallationSpec | None
    ) -> None:
        foreign = app.kind == INTERNAL and app.organization_id not in {None, spec.organization_id}
        begins = stored is None or stored.status == UNINSTALLED
        if foreign and begins and spec.status != UNINSTALLED:
            message = (
                f"does not own {app.app_id}, which is internal; install it where it belongs, or publish the app"
            )
            self._report((*entry.path, "organization"), message)

    def _compare(self, installations: Sequence[InstallationSpec]) -> None:
        """Compare the apps that change with their installations, as these will be."""
        desired = {key(spec): spec for spec in installations}
        for spec in self.apps.values():
            stored = self._stored_app(spec.app_id)
            if stored is None:
                continue
            narrower = set(stored.events) - set(spec.events)
            confined = spec.kind == INTERNAL and _owner(stored) != _owner(spec)
            if not narrower and not confined:
                continue
            known = [desired.get(key(one), one) for one in self.registered.installations(spec.app_id)]
            installed = [one for one in known if one.status != UNINSTALLED]
            if confined:
                self._refuse_elsewhere(spec, {one.organization_id for one in installed})
            self._note_unlisted(spec, installed)

    def _refuse_elsewhere(self, spec: AppSpec, installed: set[str]) -> None:
        # Otherwise another customer's events would go on to it, and its failures be mailed to the wrong owners.
        elsewhere = sorted(installed - {spec.organization_id or ""})
        if elsewhere and spec.organization_id:
            self._report(
                ("apps", spec.app_id),
                f"is to be internal to {spec.organization_id}, but is installed on this stack in "
                f"{_some(elsewhere)}; give these installations `status: uninstalled`, or use another slug",
            )

    def _note_unlisted(self, spec: AppSpec, installed: Iterable[InstallationSpec]) -> None:
        unlisted = {
            one.organization_id
            for one in installed
            if any(subscribed_name(name, list(spec.events)) is None for name in one.events)
        }
        if unlisted:
            self.notes.append(
                f"app {spec.app_id} no longer lists some events that its installations in "
                f"{_some(sorted(unlisted))} do: they do not get them any more"
            )

    def _check_secrets(self, stored: Mapping[str, str]) -> None:
        for app, secret in self.file.secrets.items():
            path = next(p for p in (("apps", app, "secret"), ("apps", app, "secret_env")) if p in self.file.lines)
            if secret is Reference.UNSET and app not in stored:
                message = "names a variable that is not set; export it, or drop the line to have a secret made"
                self._report(path, message)
            elif isinstance(secret, str) and stored.get(app, secret) != secret:
                self._report(
                    path,
                    "differs from the stored secret, which apply never replaces; rotate it "
                    "(bellhop rotate-secret), or drop the line to keep the stored one",
                )

    def _check_signatures(self, stored: Mapping[str, str]) -> None:
        for app, wanted in self.file.signatures.items():
            imported = self.file.secrets.get(app)
            path = ("apps", app, "signature")
            if app in stored and signature_of(stored[app]) != wanted:
                way_out = f"`bellhop rotate-secret {app} --signature {wanted}` changes it, with an overlap"
                self._report(
                    path, f"differs from that of the stored secret, which apply never replaces; {way_out}"
                )
            elif app not in stored and isinstance(imported, str) and signature_of(imported) != wanted:
                self._report(path, "does not fit the secret beside it: a secret for ed25519 begins with whsk_")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an installation is, as its entry says; `chosen` is whether that names its id."""

    app: AppSpec
    organization_id: str
    installation_id: str
    chosen: bool

    @property
    def key(self) -> Key:
        return installation_key(self.organization_id, self.installation_id)


def _merged(entry: Entry, stored: Spec | None, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each key of `defaults`: the entry's, else what is stored, else the default."""
    base = {name: getattr(stored, name) for name in defaults} if stored else dict(defaults)
    named = {name: entry.fields[name] for name in defaults if name in entry.fields}
    return base | {name: defaults[name] if value is None else value for name, value in named.items()}


def _owner(spec: AppSpec) -> tuple[str, str | None]:
    return spec.kind, spec.organization_id


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
