"""Reading what is registered on a stack, and making a plan's changes to it.

Every write is conditional on what the plan saw, so that operators change nothing that they were not shown. Secrets
are shown before `execute` writes them: what is stored has been seen. A new app and its secret are written in one
transaction, so neither ever exists without the other.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bellhop.registry import ENABLED, App, Installation, Organization
from bellhop.secrets import SigningSecret
from bellhop.tables import lost_condition
from infra.cli import signing_secrets
from infra.cli.errors import CommandError
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile, Spec, key
from infra.cli.registry.plan import Change, Current, Plan, make, spec_of

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


def execute(plan: Plan, connection: Connection) -> None:
    """Make the plan's changes, in its order. A new plan completes what was interrupted.

    Raises:
        ChangedMeanwhileError: an item is no longer as the plan saw it; what came before it is written.
    """
    secrets = dict(plan.secrets)
    for change in plan.changes:
        with _unchanged_since_the_plan(change.spec.label):
            if change.creates:
                _create(change.spec, secrets, connection)
            else:
                _item(change.spec).update(actions=_actions(change), condition=_as_planned(change))
    for app_id, secret in secrets.items():  # of apps that exist without one
        with _unchanged_since_the_plan(f"secret of {app_id}"):
            SigningSecret(app_id, secret=secret).save(condition=SigningSecret.app_id.does_not_exist())


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


def _create(spec: Spec, secrets: dict[str, str], connection: Connection) -> None:
    """Write a new item; an app together with its secret, which is then taken from `secrets`."""
    item, absent = _item(spec), _attribute(spec, spec.KEY[0]).does_not_exist()
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
        condition &= attribute.does_not_exist() if old is None else _equals(attribute, _stored(old))
    return condition


def _equals(attribute: Any, value: Any) -> Any:
    # An item from before this attribute existed reads as its default.
    return (attribute == value) | attribute.does_not_exist() if attribute.default == value else attribute == value


@contextmanager
def _unchanged_since_the_plan(what: str) -> Iterator[None]:
    try:
        yield
    except (PutError, UpdateError, TransactWriteError) as error:
        if lost_condition(error):
            raise ChangedMeanwhileError(f"{what} was changed meanwhile by somebody else: apply again") from error
        raise
