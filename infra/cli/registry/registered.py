"""What is registered on the stack that the models are bound to, as specs. Only reads."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pynamodb.models import Model

from bellhop import attempts, outcomes
from bellhop.clock import utc_now
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.secrets import SigningSecret, headers_of, signature_of
from bellhop.tables import from_item
from health import transitions
from infra.cli.registry.model import AppSpec, InstallationSpec, Key, OrganizationSpec, Spec, key
from infra.cli.registry.plan import spec_of

MODELS: dict[type[Spec], type[Model]] = {
    OrganizationSpec: Organization,
    AppSpec: App,
    InstallationSpec: Installation,
}
# For so long the id of a deleted app is not given to another: then what is kept under it has expired. DynamoDB
# deletes it up to two days late.
NAME_RESTS = max(outcomes.KEPT, attempts.KEPT) + timedelta(days=3)
_KINDS = {kind.__name__: model for kind, model in MODELS.items()}


@dataclass
class RegisteredTables:
    """What resolving reads, and which of the apps that it read are `unmoved`: see `plan.make`."""

    now: Callable[[], datetime] = utc_now
    unmoved: set[str] = field(default_factory=set)
    _rows: dict[str, SigningSecret] = field(default_factory=dict, repr=False)

    def slugs(self) -> dict[str, str]:
        """The slug of each registered organisation, by id. A scan: no index has slugs."""
        names = ["organization_id", "slug"]
        rows = Organization.scan(attributes_to_get=names, consistent_read=True)
        return {row.organization_id: row.slug for row in rows}

    def specs(self, keys: Iterable[Key]) -> Mapping[Key, Spec]:
        """Those of the items with these keys that are registered."""
        items = load(keys)
        apps = [item for item in items if isinstance(item, App)]
        self.unmoved.update(app.app_id for app in apps if app.headers is not None)
        self._rows |= secret_rows(app.app_id for app in apps)
        return {key(spec): spec for spec in (stored_spec(item, self._rows) for item in items)}

    def everything(self) -> list[Spec]:
        """Everything that is registered. Scans: there is no other list of it."""
        items: list[Any] = [item for model in MODELS.values() for item in _scan(model)]
        self._rows |= secret_rows(item.app_id for item in items if isinstance(item, App))
        return [stored_spec(item, self._rows) for item in items]

    @property
    def signatures(self) -> dict[str, str]:
        """How the webhooks of the apps that were read are signed, of those that have a secret."""
        return {app_id: signature_of(row.secret) for app_id, row in self._rows.items()}

    def installations(self, app_id: str, organization_id: str | None = None) -> list[InstallationSpec]:
        """An app's installations, all or those in one organisation."""
        there = None if organization_id is None else Installation.organization_id == organization_id
        found = (spec_of(row) for row in Installation.by_app.query(app_id, there))
        return [spec for spec in found if isinstance(spec, InstallationSpec)]

    def resting(self, app_ids: Iterable[str]) -> dict[str, datetime]:
        """Those of these ids that are not given to another app yet, as theirs was deleted, and until when."""
        deletions = {app_id: transitions.last_deletion(app_id) for app_id in app_ids}
        until = {app_id: rests_until(entry) for app_id, entry in deletions.items() if entry}
        return {app_id: moment for app_id, moment in until.items() if moment > self.now()}

    def secrets(self, app_ids: Iterable[str]) -> dict[str, str]:
        """The signing secrets of those of these apps that have one, also of apps that are not registered."""
        wanted = list(app_ids)
        self._rows |= secret_rows(app for app in wanted if app not in self._rows)
        return {app: self._rows[app].secret for app in wanted if app in self._rows}


def _scan(model: type[Model]) -> Iterator[Model]:
    for page in model.scan(consistent_read=True).page_iter:
        yield from (from_item(model, item) for item in page["Items"])


def rests_until(deletion: AuditEntry) -> datetime:
    """When the id of the app that was deleted may be given to another."""
    return datetime.fromisoformat(deletion.at) + NAME_RESTS


def load(keys: Iterable[Key]) -> list[Any]:
    """The stored items of specs with these keys."""
    by_model: dict[type[Model], list[Any]] = {}
    for kind, *values in keys:
        by_model.setdefault(_KINDS[kind], []).append(tuple(values) if len(values) > 1 else values[0])
    return [item for model, found in by_model.items() for item in model.batch_get(found, consistent_read=True)]


def secret_rows(app_ids: Iterable[str]) -> dict[str, SigningSecret]:
    """The rows of those of these apps that have one, with all that they keep secret."""
    return {row.app_id: row for row in SigningSecret.batch_get(list(app_ids), consistent_read=True)}


def stored_spec(item: Any, rows: Mapping[str, SigningSecret]) -> Spec:
    """A stored item as a spec; an app with its headers and credentials, from `rows`."""
    spec = spec_of(item)
    if not isinstance(spec, AppSpec):
        return spec
    row = rows.get(spec.app_id)
    return replace(spec, headers=headers_of(item, row), oauth2=row.oauth2 if row else None)
