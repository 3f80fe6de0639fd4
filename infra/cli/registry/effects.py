"""Making a plan's changes to what is registered on a stack.

Every write is conditional on what the plan saw, so that operators change nothing that they were not shown. Secrets
are shown before `execute` writes them: what is stored has been seen. A new app and its secret are written in one
transaction, so neither ever exists without the other. So are other changes of an app and those of its headers and
credentials, which stand beside its secret.

A registration and a new URL of an app that is on are written with an audit entry and begin a new generation, so
that nothing counted before judges what is called from now on.
"""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.transactions import TransactWrite

from bellhop.registry import DISABLED, ENABLED, App, AuditEntry, find
from bellhop.secrets import SigningSecret
from bellhop.tables import ItemUpdate, lost_condition
from health import transitions
from health.transitions import TransitionDependencies, Update
from infra.cli import signing_secrets
from infra.cli.errors import CommandError
from infra.cli.registry import secret_values
from infra.cli.registry.model import AppSpec, RegistryFile, Spec, key
from infra.cli.registry.plan import Change, Plan, change_of, make
from infra.cli.registry.registered import MODELS, RegisteredTables, load, secret_rows, stored_spec
from infra.cli.registry.resolving import resolve
from infra.cli.registry.secret_values import HEADERS


class ChangedMeanwhileError(CommandError):
    """Somebody else changed what was about to be written."""


def prepare(file: RegistryFile) -> Plan:
    """The plan for the stack that the models are bound to. Only reads.

    Raises:
        RegistryFileError: see `resolving.resolve`.
    """
    tables = RegisteredTables()
    return make(resolve(file, tables), frozenset(tables.unmoved), signing_secrets.generate)


def execute(plan: Plan, deps: TransitionDependencies, actor: str) -> None:
    """Make the plan's changes, in its order, as `actor`. A new plan completes what was interrupted.

    Raises:
        ChangedMeanwhileError: an item is no longer as the plan saw it; what came before it is written.
    """
    new = {change.spec.app_id for change in plan.changes if isinstance(change.spec, AppSpec) and change.creates}
    secrets = {app_id: secret for app_id, secret in plan.secrets.items() if app_id in new}
    for app_id in plan.secrets.keys() - new:  # first, as headers and credentials stand beside a secret
        _add_secret(app_id, plan.secrets[app_id])
    for change in plan.changes:
        registers = isinstance(change.spec, AppSpec) and change.creates  # with a secret, which may be another's
        with _unchanged_since_the_plan(change.spec.label, None if registers else change.spec):
            if isinstance(change.spec, AppSpec) and change.creates:
                _register(change, change.spec, secrets, deps, actor)
            elif isinstance(change.spec, AppSpec) and "url" in change.fields:
                _change_url(change, change.spec, deps, actor)
            else:
                _write(change, deps)


def _add_secret(app_id: str, secret: str) -> None:
    """Store the secret of an app that exists without one."""
    with _unchanged_since_the_plan(f"secret of {app_id}"):
        ours = SigningSecret.secret == secret  # written, with its response lost, and repeated by the SDK
        SigningSecret(app_id, secret=secret).save(condition=SigningSecret.app_id.does_not_exist() | ours)


def _write(change: Change, deps: TransitionDependencies) -> None:
    item = _item(change.spec)
    if change.creates:
        item.save(condition=_attribute(change.spec, change.spec.KEY[0]).does_not_exist())
    else:
        _make([ItemUpdate(item, _actions(change), _as_planned(change)), *_update_beside_the_secret(change)], deps)


def _make(updates: Sequence[ItemUpdate], deps: TransitionDependencies) -> None:
    """All of these updates, or none."""
    if len(updates) == 1:  # a transaction would cost twice as much
        updates[0].item.update(actions=updates[0].actions, condition=updates[0].condition)
        return
    with TransactWrite(connection=deps.connection) as transaction:
        for update in updates:
            update.join(transaction)


def _register(
    change: Change, spec: AppSpec, secrets: dict[str, str], deps: TransitionDependencies, actor: str
) -> None:
    """Write a new app together with its secret, which is then taken from `secrets`."""
    item: App = _item(spec)
    item.uuid, item.state = str(uuid.uuid4()), ENABLED
    entry = transitions.registration(item, actor, deps.now())
    with TransactWrite(connection=deps.connection) as transaction:
        secret = secrets.pop(item.app_id, None)
        if secret:
            row = SigningSecret(item.app_id, secret=secret, headers=spec.headers, oauth2=spec.oauth2)
            transaction.save(row, condition=SigningSecret.app_id.does_not_exist())
        else:  # it has one from before it was deleted by hand
            for update in _update_beside_the_secret(change):
                update.join(transaction)
        transaction.save(item, condition=App.app_id.does_not_exist())
        transaction.save(entry, condition=AuditEntry.app_id.does_not_exist())


def _change_url(change: Change, spec: AppSpec, deps: TransitionDependencies, actor: str) -> None:
    """Update an app whose URL changes; while it is on, its new URL begins a new generation."""
    app = find(App, spec.app_id, consistent=True)
    update = Update(_actions(change), _as_planned(change), _update_beside_the_secret(change))
    if app is None or app.state == DISABLED:
        # Nothing is counted while it is off, and switching it on begins a generation anyway.
        off = update.condition & (App.state == DISABLED)
        _make([ItemUpdate(_item(spec), update.actions, off), *update.beside], deps)
    elif transitions.change_url(app, spec.url, actor, update, deps) is None:
        raise _changed_meanwhile(change.spec.label)


def _item(spec: Spec) -> Any:
    model = MODELS[type(spec)]
    names = [f.name for f in fields(spec) if f.name not in secret_values.FIELDS]
    return model(**{name: _stored(getattr(spec, name)) for name in names})


def _stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _attribute(spec: Spec, name: str) -> Any:
    return getattr(MODELS[type(spec)], name)


def _actions(change: Change) -> list[Any]:
    return [_action(_attribute(change.spec, name), new) for name, (_, new) in _of_own_item(change)]


def _action(attribute: Any, new: Any) -> Any:
    return attribute.remove() if new is None else attribute.set(_stored(new))


def _as_planned(change: Change) -> Any:
    condition = _attribute(change.spec, change.spec.KEY[0]).exists()
    for name, (old, _) in _of_own_item(change):
        attribute = _attribute(change.spec, name)
        condition &= attribute.does_not_exist() if old is None else _equals(attribute, _stored(old))
    return condition


def _of_own_item(change: Change) -> list[tuple[str, tuple[Any, Any]]]:
    """What changes in the item of the spec itself: headers are only taken away there, if there are any."""
    own = {name: pair for name, pair in change.fields.items() if name not in secret_values.FIELDS}
    if len(own) < len(change.fields):
        own[HEADERS] = (change.fields[HEADERS][0] if change.moves_headers else None, None)
    return list(own.items())


def _update_beside_the_secret(change: Change) -> tuple[ItemUpdate, ...]:
    """The change of an app's headers and credentials, if there is one."""
    found = {name: pair for name, pair in change.fields.items() if name in secret_values.FIELDS}
    if not found or not isinstance(change.spec, AppSpec):
        return ()
    row, condition = SigningSecret, SigningSecret.app_id.exists()
    for name, (old, _) in found.items():
        # What is moved, or is of an app that is new, is older there, or another app's.
        if not (change.creates or (change.moves_headers and name == HEADERS)):
            attribute = getattr(row, name)
            condition &= attribute.does_not_exist() if old is None else attribute == old
    actions = [_action(getattr(row, name), new) for name, (_, new) in found.items()]
    return (ItemUpdate(row(change.spec.app_id), actions, condition),)


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
    rows = secret_rows([spec.app_id] if isinstance(spec, AppSpec) else [])
    return any(change_of(spec, stored_spec(item, rows)) is None for item in load([key(spec)]))


def _changed_meanwhile(what: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(f"{what} was changed meanwhile by somebody else: apply again")
