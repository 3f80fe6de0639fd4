"""The registry file: reading and validating it. Pure; what it means for a stack is the plan's affair."""

import re
import uuid
from collections.abc import Mapping

from bellhop.registry import INSTALLED, INTERNAL, PENDING, PUBLISHED, UNINSTALLED, UNPUBLISHED
from deliver.http.guard import EndpointPolicy
from infra.console import headers, keys, urls
from infra.console.draft import (
    Draft,
    is_id,
    is_slug,
    optional,
    read_events,
    read_flag,
    read_rate,
    refuse_reference,
    refuse_unlisted,
    required,
)
from infra.console.specs import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile
from infra.console.yaml_nodes import Problem, Value, compose

KINDS = (INTERNAL, UNPUBLISHED, PUBLISHED)
STATUSES = (INSTALLED, PENDING, UNINSTALLED)

# The default id of an installation is a UUIDv5 in this namespace, so that it is the same on every stack.
NAMESPACE = uuid.UUID("6f0c5d1e-3b0a-5d36-9c1b-8f6f0b9d2a47")

_SECTIONS = ("organizations", "apps", "installations")
_SECRETS = ("secret", "secret_env")
_ORGANIZATION = ("id", "name", "owners", "warnings")
_APP = ("name", "kind", "organization", "url", "events", "headers", "max_per_second", "auto_enable", *_SECRETS)
_INSTALLATION = ("app", "organization", "id", "status", "events", "projects")
_MAIL = re.compile(r"[^@\s,;<>\[\]]+@[^@\s,;<>\[\]]+\.[^@\s,;<>\[\].]+")


class RegistryFileError(Exception):
    """The file has problems: here are all of them, in the order of its lines."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


def parse(text: str, policy: EndpointPolicy, environ: Mapping[str, str]) -> RegistryFile:
    """Read a registry file; `policy` says which endpoints the stack allows, `environ` may hold secrets.

    Raises:
        RegistryFileError: with every problem of the file, not just the first.
    """
    draft = Draft(policy, environ)
    root = compose(text, draft.problems)
    sections = root.fields(_SECTIONS) if root else {}
    for slug, value in _entries(sections, "organizations"):
        draft.organizations[slug] = _organization(slug, value)
    _refuse_shared_ids(sections, draft)
    for slug, value in _entries(sections, "apps"):
        draft.apps[slug] = _app(slug, value, draft)
    installations = _installations(sections.get("installations"), draft)
    if draft.problems:
        raise RegistryFileError(draft.problems)
    specs = (*draft.organizations.values(), *draft.apps.values(), *installations)
    return RegistryFile(tuple(spec for spec in specs if spec), draft.secrets)


def installation_id(organization_id: str, app_id: str) -> str:
    """The id of an installation whose file gives it none."""
    return str(uuid.uuid5(NAMESPACE, f"{organization_id}\0{app_id}"))


def _entries(sections: Mapping[str, Value], name: str) -> list[tuple[str, Value]]:
    return list(sections[name].fields().items()) if name in sections else []


def _organization(slug: str, value: Value) -> OrganizationSpec | None:
    fields = value.fields(_ORGANIZATION)
    organization_id, name = optional(fields, "id", slug), optional(fields, "name", slug)
    fine = is_slug(value, slug)
    if organization_id is None or not is_id(fields.get("id", value), organization_id):
        fine = False
    if "owners" not in fields:
        value.refuse("has no `owners`; list who gets mail when an app is switched off ([] for nobody)")
    owners = _owners(fields["owners"]) if "owners" in fields else ()
    warnings = read_flag(fields["warnings"]) if "warnings" in fields else True
    return OrganizationSpec(str(organization_id), slug, name, owners, warnings) if fine and name else None


def _owners(value: Value) -> tuple[str, ...]:
    for item in value.items():
        text = item.text()
        if text and not _MAIL.fullmatch(text):
            item.refuse(f"is {text!r}, which is no mail address; write name@example.com")
    return value.texts()


def _refuse_shared_ids(sections: Mapping[str, Value], draft: Draft) -> None:
    first: dict[str, str] = {}
    for slug, value in _entries(sections, "organizations"):
        organization = draft.organizations[slug]
        if organization and first.setdefault(organization.organization_id, slug) != slug:
            value.refuse(f"has the id of {first[organization.organization_id]}; give it its own `id`")


def _app(slug: str, value: Value, draft: Draft) -> AppSpec | None:
    fields = value.fields(_APP)
    fine = is_slug(value, slug)
    name = optional(fields, "name", slug)
    kind = fields["kind"].choice(KINDS) if "kind" in fields else INTERNAL
    url = _url(fields, value, draft)
    if "events" not in fields:
        value.refuse("has no `events`; list those it may receive, such as [issue]")
    events = read_events(fields["events"]) if "events" in fields else ()
    organization_id = _owning_organization(fields, kind, value, draft)
    own = headers.read(fields["headers"], draft.environ) if "headers" in fields else None
    rate = read_rate(fields["max_per_second"]) if "max_per_second" in fields else None
    probed = read_flag(fields["auto_enable"]) if "auto_enable" in fields else False
    _import_secret(slug, fields, draft)
    if not (fine and name and kind and url):
        return None
    return AppSpec(slug, name, kind, organization_id, url, events, own, rate, probed or None)


def _url(fields: Mapping[str, Value], owner: Value, draft: Draft) -> str | None:
    url = required(fields, "url", owner)
    problem = urls.problem(url, draft.policy) if url else None
    if problem:
        fields["url"].refuse(problem)
    return url


def _owning_organization(fields: Mapping[str, Value], kind: str | None, owner: Value, draft: Draft) -> str | None:
    if "organization" in fields:
        return draft.organization_id(fields, owner)
    if kind == INTERNAL:
        owner.refuse("is internal and has no `organization`; name its owner, or set another `kind`")
    return None


def _import_secret(slug: str, fields: Mapping[str, Value], draft: Draft) -> None:
    value = fields.get("secret") or fields.get("secret_env")
    text = value.text() if value else None
    if value is None or text is None:
        return
    if "secret" in fields and "secret_env" in fields:
        value.refuse("stands beside `secret_env`; keep one")
        return
    if "secret_env" in fields:
        if text not in draft.environ:
            value.refuse(f"names {text}, which is not set; export it, or drop the line once it is imported")
            return
        text = draft.environ[text]
    try:
        draft.secrets[slug] = keys.read(text)
    except keys.SecretRefusedError as error:
        value.refuse(str(error))


def _installations(value: Value | None, draft: Draft) -> list[InstallationSpec]:
    found: dict[tuple[str, str], tuple[int, InstallationSpec]] = {}
    for item in value.items() if value else []:
        spec = _installation(item, draft)
        if spec is None:
            continue
        line, _ = found.setdefault((spec.organization_id, spec.installation_id), (item.line, spec))
        if line != item.line:
            item.refuse(f"is the same installation as in line {line}; merge them, or give one its own `id`")
    return [spec for _, spec in found.values()]


def _installation(value: Value, draft: Draft) -> InstallationSpec | None:
    fields = value.fields(_INSTALLATION)
    organization_id = draft.organization_id(fields, value)
    app = _installed_app(fields, value, draft)
    status = fields["status"].choice(STATUSES) if "status" in fields else INSTALLED
    events = read_events(fields["events"]) if "events" in fields else None
    projects = fields["projects"].texts() if "projects" in fields else None
    chosen = fields["id"].text() if "id" in fields else ""
    if chosen:
        is_id(fields["id"], chosen)
    if app is None or organization_id is None or status is None or chosen is None:
        return None
    _refuse_foreign(app, organization_id, fields)
    if events is not None:
        refuse_unlisted(fields["events"], events, app)
    identifier = chosen or installation_id(organization_id, app.app_id)
    wanted = app.events if events is None else events
    return InstallationSpec(organization_id, identifier, app.app_id, status, wanted, projects)


def _installed_app(fields: Mapping[str, Value], owner: Value, draft: Draft) -> AppSpec | None:
    slug = required(fields, "app", owner)
    if slug is not None and slug not in draft.apps:
        refuse_reference(fields["app"], slug, "apps", draft.apps)
    return draft.apps.get(slug) if slug else None


def _refuse_foreign(app: AppSpec, organization_id: str, fields: Mapping[str, Value]) -> None:
    if app.kind == INTERNAL and app.organization_id not in {None, organization_id}:
        fields["organization"].refuse(
            f"does not own {app.app_id}, which is internal; install it where it belongs, or publish the app"
        )
