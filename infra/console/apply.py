"""Reading what a stack holds, and making a plan's changes to it.

Every write is conditional on what the plan saw, so that an operator changes nothing they were not shown.
Secrets are shown before `execute` writes them: a secret that was stored has been seen. A new app and its
secret are written in one transaction, so neither is ever without the other.
"""

import uuid
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bellhop.registry import ENABLED, App, Installation, Organization
from bellhop.secrets import SigningSecret
from bellhop.tables import lost_condition
from infra.console import keys
from infra.console.errors import ConsoleError
from infra.console.plan import Change, Current, Plan, make, spec_of
from infra.console.specs import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile, Spec, key

_MODELS: dict[type[Spec], type[Model]] = {
    OrganizationSpec: Organization,
    AppSpec: App,
    InstallationSpec: Installation,
}


class ChangedMeanwhileError(ConsoleError):
    """Somebody else wrote what was about to be written."""


def prepare(desired: RegistryFile) -> Plan:
    """The plan for the stack that the models are bound to. Reads only.

    Raises:
        PlanConflictError: see `plan.make`.
    """
    return make(desired, _current(desired), keys.generate)


def execute(plan: Plan, connection: Connection) -> None:
    """Make the plan's changes, in its order. What was interrupted is completed by a new plan.

    Raises:
        ChangedMeanwhileError: an item is no longer as the plan saw it; what came before it is written.
    """
    waiting = dict(plan.secrets)
    for change in plan.changes:
        try:
            _write(change, waiting, connection)
        except (PutError, UpdateError, TransactWriteError) as error:
            raise _meanwhile(change.spec.label, error) from error
    for app_id, secret in waiting.items():  # of apps that exist without one
        try:
            SigningSecret(app_id, secret=secret).save(condition=SigningSecret.app_id.does_not_exist())
        except PutError as error:
            raise _meanwhile(f"secret of {app_id}", error) from error


def _current(desired: RegistryFile) -> Current:
    specs: dict[Any, Spec] = {}
    for kind, model in _MODELS.items():
        wanted = [spec for spec in desired.specs if isinstance(spec, kind)]
        specs |= {key(spec): spec for spec in map(spec_of, _load(model, wanted))}
    apps = [spec.app_id for spec in desired.specs if isinstance(spec, AppSpec)]
    secrets = {row.app_id: row.secret for row in SigningSecret.batch_get(apps, consistent_read=True)}
    return Current(specs, secrets)


def _load(model: type[Model], specs: Iterable[Spec]) -> Iterable[Any]:
    found = [key(spec)[1:] for spec in specs]
    return model.batch_get([k if len(k) > 1 else k[0] for k in found], consistent_read=True)


def _write(change: Change, secrets: dict[str, str], connection: Connection) -> None:
    item = _item(change.spec)
    if not change.creates:
        item.update(actions=_actions(change), condition=_as_planned(change))
        return
    absent = _attribute(change.spec, change.spec.KEY[0]).does_not_exist()
    if not isinstance(item, App):
        item.save(condition=absent)
        return
    item.uuid, item.state, item.generation = str(uuid.uuid4()), ENABLED, 1
    with TransactWrite(connection=connection) as transaction:
        secret = secrets.pop(item.app_id, None)
        if secret:
            row = SigningSecret(item.app_id, secret=secret)
            transaction.save(row, condition=SigningSecret.app_id.does_not_exist())
        transaction.save(item, condition=absent)


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
        condition &= attribute.does_not_exist() if old is None else _holds(attribute, _stored(old))
    return condition


def _holds(attribute: Any, value: Any) -> Any:
    # An item that was written before there was such an attribute reads as its default.
    return (attribute == value) | attribute.does_not_exist() if attribute.default == value else attribute == value


def _meanwhile(what: str, error: PutError | UpdateError | TransactWriteError) -> Exception:
    if lost_condition(error):
        return ChangedMeanwhileError(f"{what} was changed meanwhile by somebody else: apply again")
    return error
