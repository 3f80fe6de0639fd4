"""Loading a registry file: reading it, and checking what its schema cannot say. Pure.

That is: entries refer to one another, ids are unique, an installation wants only events that its app lists, and
URLs and secrets can be used. What a file means for a stack is the plan's affair.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bellhop.events import subscribed_name
from bellhop.registry import INSTALLED, INTERNAL
from deliver.http import endpoint_url
from deliver.http.guard import EndpointPolicy
from health.mail import address
from health.mail.address import AddressError
from infra.cli import signing_secrets
from infra.cli.registry import headers, validation
from infra.cli.registry.document import Document, Path, RegistryFileError, did_you_mean, read
from infra.cli.registry.events import expand
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile

# The default id of an installation is a UUIDv5 in this namespace, so that it is the same on every stack.
NAMESPACE = uuid.UUID("6f0c5d1e-3b0a-5d36-9c1b-8f6f0b9d2a47")

_ANYTHING = EndpointPolicy(http=True, private=True, ports=None)

Fields = Mapping[str, Any]  # of an entry; None is a value that was refused, or an empty list


def parse(text: str, policy: EndpointPolicy, environ: Mapping[str, str]) -> RegistryFile:
    """Read a registry file; `policy` says which endpoints the stack allows, `environ` may hold secrets.

    Raises:
        RegistryFileError: with every problem of the file, not just the first.
    """
    document = read(text)
    validation.check(document)
    loaded = _Loader(document, policy, environ).load()
    if document.problems:
        raise RegistryFileError(document.problems)
    return loaded


def installation_id(organization_id: str, app_id: str) -> str:
    """The id of an installation to which its file gives none."""
    return str(uuid.uuid5(NAMESPACE, f"{organization_id}\0{app_id}"))


@dataclass
class _Loader:
    """What is known so far. An entry with a problem is None, so that references still find it."""

    document: Document
    policy: EndpointPolicy
    environ: Mapping[str, str] = field(repr=False)
    organizations: dict[str, OrganizationSpec | None] = field(default_factory=dict)
    apps: dict[str, AppSpec | None] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def load(self) -> RegistryFile:
        for slug, fields in self._entries("organizations"):
            self.organizations[slug] = self._organization(slug, fields)
        self._refuse_shared_ids()
        for slug, fields in self._entries("apps"):
            self.apps[slug] = self._app(slug, fields)
        specs = (*self.organizations.values(), *self.apps.values(), *self._installations())
        return RegistryFile(tuple(spec for spec in specs if spec), self.secrets)

    def _entries(self, section: str) -> Iterator[tuple[str, Fields]]:
        for slug, fields in ((self.document.root or {}).get(section) or {}).items():
            yield slug, fields or {}

    def _organization(self, slug: str, fields: Fields) -> OrganizationSpec | None:
        organization_id, name = fields.get("id", slug), fields.get("name", slug)
        owners = [
            self._owner(owner, ("organizations", slug, "owners", number))
            for number, owner in enumerate(fields.get("owners") or [])
        ]
        if organization_id is None or name is None:
            return None
        warnings = _flag(fields.get("warnings"), default=True)
        return OrganizationSpec(organization_id, slug, name, _each_once(owners), warnings)

    def _owner(self, owner: str | None, path: Path) -> str | None:
        """The address as SES takes it."""
        try:
            return None if owner is None else address.encode(owner)
        except AddressError as error:
            self.document.report(path, f"is {owner!r}, which {error}")
            return None

    def _refuse_shared_ids(self) -> None:
        first: dict[str, str] = {}
        for slug, spec in self.organizations.items():
            if spec and first.setdefault(spec.organization_id, slug) != slug:
                message = f"has the id of {first[spec.organization_id]}; give it its own `id`"
                self.document.report(("organizations", slug), message)

    def _app(self, slug: str, fields: Fields) -> AppSpec | None:
        path: Path = ("apps", slug)
        name, kind, url = fields.get("name", slug), fields.get("kind", INTERNAL), fields.get("url")
        if url is not None:
            self._check_url(url, (*path, "url"))
        organization_id = self._organization_id(fields, path)
        own = headers.read(fields.get("headers") or {}, (*path, "headers"), self.document, self.environ)
        self._import_secret(slug, fields)
        if name is None or kind is None or url is None:
            return None
        return AppSpec(
            app_id=slug,
            name=name,
            kind=kind,
            organization_id=organization_id,
            url=url,
            events=_events(fields.get("events")),
            headers=own,
            max_per_second=_rate(fields.get("max_per_second")),
            auto_enable=_flag(fields.get("auto_enable"), default=False) or None,
        )

    def _check_url(self, url: str, path: Path) -> None:
        problem = endpoint_url.problem(url, self.policy)
        if problem and endpoint_url.problem(url, _ANYTHING) is None:
            problem += " (a local stack may allow it: --allow-http, --allow-private-addresses, --any-port)"
        if problem:
            self.document.report(path, problem)

    def _organization_id(self, fields: Fields, path: Path) -> str | None:
        """The id of the organisation that the field `organization` names by its slug."""
        slug = fields.get("organization")
        if slug is not None and slug not in self.organizations:
            self._refuse_reference((*path, "organization"), slug, "organizations", self.organizations)
        found = self.organizations.get(slug) if slug else None
        return found.organization_id if found else None

    def _refuse_reference(self, path: Path, slug: str, section: str, known: Mapping[str, object]) -> None:
        message = f"is {slug!r}, which is not among the {section} of this file{did_you_mean(slug, known)}"
        self.document.report(path, message)

    def _import_secret(self, slug: str, fields: Fields) -> None:
        name, secret = fields.get("secret_env"), fields.get("secret")
        field_name = "secret" if secret is not None else "secret_env"
        if name is not None and secret is not None:
            return  # the schema refused it
        if name is not None:
            secret = self.environ.get(name)
            if secret is None:
                message = f"names {name}, which is not set; export it, or drop the line once it is imported"
                self.document.report(("apps", slug, field_name), message)
        if secret is None:
            return
        try:
            self.secrets[slug] = signing_secrets.read(secret)
        except signing_secrets.SecretRefusedError as error:
            self.document.report(("apps", slug, field_name), str(error))

    def _installations(self) -> list[InstallationSpec]:
        found: dict[tuple[str, str], tuple[int, InstallationSpec]] = {}
        for number, fields in enumerate((self.document.root or {}).get("installations") or []):
            path: Path = ("installations", number)
            spec = self._installation(fields or {}, path)
            if spec is None:
                continue
            first, _ = found.setdefault((spec.organization_id, spec.installation_id), (number, spec))
            if first != number:
                line = self.document.lines["installations", first]
                message = f"is the same installation as in line {line}; merge them, or give one its own `id`"
                self.document.report(path, message)
        return [spec for _, spec in found.values()]

    def _installation(self, fields: Fields, path: Path) -> InstallationSpec | None:
        organization_id = self._organization_id(fields, path)
        app = self._installed_app(fields, path)
        status, projects, chosen_id = fields.get("status", INSTALLED), fields.get("projects"), fields.get("id", "")
        if app is None or organization_id is None or status is None or chosen_id is None:
            return None
        if app.kind == INTERNAL and app.organization_id not in {None, organization_id}:
            message = (
                f"does not own {app.app_id}, which is internal; install it where it belongs, or publish the app"
            )
            self.document.report((*path, "organization"), message)
        events = _events(fields["events"]) if "events" in fields else app.events
        self._refuse_unlisted(events, app, (*path, "events"))
        return InstallationSpec(
            organization_id=organization_id,
            installation_id=chosen_id or installation_id(organization_id, app.app_id),
            app_id=app.app_id,
            status=status,
            events=events,
            projects=_each_once(projects) if "projects" in fields else None,
        )

    def _installed_app(self, fields: Fields, path: Path) -> AppSpec | None:
        slug = fields.get("app")
        if slug is not None and slug not in self.apps:
            self._refuse_reference((*path, "app"), slug, "apps", self.apps)
        return self.apps.get(slug) if slug else None

    def _refuse_unlisted(self, events: tuple[str, ...], app: AppSpec, path: Path) -> None:
        for name in events:
            if subscribed_name(name, list(app.events)) is None:
                message = f"lists {name}, which app {app.app_id} does not; add it to the app, or drop it here"
                self.document.report(path, message)


def _events(names: list[str | None] | None) -> tuple[str, ...]:
    """The event names of a list in which a resource stands for all of its events."""
    return tuple(dict.fromkeys(event for name in names or () for event in (expand(name) if name else None) or ()))


def _each_once(texts: list[str | None] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts or () if text is not None))


def _flag(text: str | None, *, default: bool) -> bool:
    return default if text is None else text == "true"


def _rate(text: str | None) -> float | None:
    rate = float(text) if text else None
    return int(rate) if rate and rate.is_integer() else rate
