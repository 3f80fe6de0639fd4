"""Reading what is registered on a stack, and making a plan's changes to it.

Every write is conditional on what the plan saw, so that operators change nothing that they were not shown. Secrets
are shown before `execute` writes them: what is stored has been seen. A new app and its secret are written in one
transaction, so neither ever exists without the other.

A registration and a new URL of an app that is on are written with an audit entry and begin a new generation, so
that nothing counted before judges what is called from now on.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bellhop.registry import DISABLED, ENABLED, UNINSTALLED, App, AuditEntry, Installation, Organization, find
from bellhop.secrets import SigningSecret
from bellhop.tables import lost_condition
from health import transitions
from health.transitions import TransitionDependencies, Update
from infra.cli import signing_secrets
from infra.cli.errors import CommandError
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile, Spec, key
from infra.cli.registry.plan import Change, Current, Plan, change_of, confined, make, spec_of

_MODELS: dict[type[Spec], type[Model]] = {
    OrganizationSpec: Organization,
    AppSpec: App,
    InstallationSpec: Installation,
}


class ChangedMeanwhileError(CommandError):
    """Somebody else changed what was about to be written."""


def prepare(desired: RegistryFile) -> Plan:
    """The plan for the stack that the models are bound to. Only reads.

    Raises:
        PlanConflictError: see `plan.make`.
    """
    return make(desired, _current(desired), signing_secrets.generate)


def execute(plan: Plan, deps: TransitionDependencies, actor: str) -> None:
    """Make the plan's changes, in its order, as `actor`. A new plan completes what was interrupted.

    Raises:
        ChangedMeanwhileError: an item is no longer as the plan saw it; what came before it is written.
    """
    secrets = dict(plan.secrets)
    for change in plan.changes:
        registers = isinstance(change.spec, AppSpec) and change.creates  # with a secret, which may be another's
        with _unchanged_since_the_plan(change.spec.label, None if registers else change.spec):
            if isinstance(change.spec, AppSpec) and change.creates:
                _register(change.spec, secrets, deps, actor)
            elif isinstance(change.spec, AppSpec) and "url" in change.fields:
                _change_url(change, change.spec, deps, actor)
            else:
                _write(change)
    for app_id, secret in secrets.items():  # of apps that exist without one
        with _unchanged_since_the_plan(f"secret of {app_id}"):
            ours = SigningSecret.secret == secret  # written, with its response lost, and repeated by the SDK
            SigningSecret(app_id, secret=secret).save(condition=SigningSecret.app_id.does_not_exist() | ours)


def _current(desired: RegistryFile) -> Current:
    specs: dict[Any, Spec] = {}
    for kind, model in _MODELS.items():
        wanted = [spec for spec in desired.specs if isinstance(spec, kind)]
        specs |= {key(spec): spec for spec in map(spec_of, _load(model, wanted))}
    apps = [spec.app_id for spec in desired.specs if isinstance(spec, AppSpec)]
    secrets = {row.app_id: row.secret for row in SigningSecret.batch_get(apps, consistent_read=True)}
    return Current(specs, secrets, {app: _installed_in(app) for app in confined(desired.specs, specs)})


def _installed_in(app_id: str) -> frozenset[str]:
    rows = Installation.by_app.query(app_id)
    return frozenset(row.organization_id for row in rows if row.status != UNINSTALLED)


def _load(model: type[Model], specs: Iterable[Spec]) -> Iterable[Any]:
    found = [key(spec)[1:] for spec in specs]
    return model.batch_get([k if len(k) > 1 else k[0] for k in found], consistent_read=True)


def _write(change: Change) -> None:
    item = _item(change.spec)
    if change.creates:
        item.save(condition=_attribute(change.spec, change.spec.KEY[0]).does_not_exist())
    else:
        item.update(actions=_actions(change), condition=_as_planned(change))


def _register(spec: AppSpec, secrets: dict[str, str], deps: TransitionDependencies, actor: str) -> None:
    """Write a new app together with its secret, which is then taken from `secrets`."""
    item: App = _item(spec)
    item.uuid, item.state = str(uuid.uuid4()), ENABLED
    entry = transitions.registration(item, actor, deps.now())
    with TransactWrite(connection=deps.connection) as transaction:
        secret = secrets.pop(item.app_id, None)
        if secret:
            row = SigningSecret(item.app_id, secret=secret)
            transaction.save(row, condition=SigningSecret.app_id.does_not_exist())
        transaction.save(item, condition=App.app_id.does_not_exist())
        transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())


def _change_url(change: Change, spec: AppSpec, deps: TransitionDependencies, actor: str) -> None:
    """Update an app whose URL changes; while it is on, its new URL begins a new generation."""
    app = find(App, spec.app_id, consistent=True)
    update = Update(_actions(change), _as_planned(change))
    if app is None or app.state == DISABLED:
        # Nothing is counted while it is off, and switching it on begins a generation anyway.
        _item(spec).update(actions=update.actions, condition=update.condition & (App.state == DISABLED))
    elif transitions.change_url(app, spec.url, actor, update, deps) is None:
        raise _changed_meanwhile(change.spec.label)


def _item(spec: Spec) -> Any:
    model = _MODELS[type(spec)]
    return model(**{f.name: _stored(getattr(spec, f.name)) for f in fields(spec)})


def _stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _attribute(spec: Spec, name: str) -> Any:
    return getattr(_MODELS[type(spec)], name)


def _actions(change: Change) -> list[Any]:
    return [
        _attribute(change.spec, name).remove() if new is None else _attribute(change.spec, name).set(_stored(new))
        for name, (_, new) in change.fields.items()
    ]


def _as_planned(change: Change) -> Any:
    condition = _attribute(change.spec, change.spec.KEY[0]).exists()
    for name, (old, _) in change.fields.items():
        attribute = _attribute(change.spec, name)
        condition &= attribute.does_not_exist() if old is None else _equals(attribute, _stored(old))
    return condition


def _equals(attribute: Any, value: Any) -> Any:
    # An item from before this attribute existed reads as its default.
    return (attribute == value) | attribute.does_not_exist() if attribute.default == value else attribute == value


@contextmanager
def _unchanged_since_the_plan(what: str, spec: Spec | None = None) -> Iterator[None]:
    try:
        yield
    except (PutError, UpdateError, TransactWriteError) as error:
        if not lost_condition(error):
            raise
        if spec is None or not _is_as_asked(spec):
            raise _changed_meanwhile(what) from error
        # Our own write, whose response was lost and which the SDK repeated, or another operator's equal one.


def _is_as_asked(spec: Spec) -> bool:
    return any(change_of(spec, spec_of(item)) is None for item in _load(_MODELS[type(spec)], [spec]))


def _changed_meanwhile(what: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(f"{what} was changed meanwhile by somebody else: apply again")
