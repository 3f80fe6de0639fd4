"""bellhop apply: bring a stack to what a registry file says."""

import os
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console

from bellhop.secrets import HMAC, signature_of
from deliver.http.guard import EndpointPolicy
from infra.cli import files, identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.registry import effects, loading, secret_values
from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.events import collapse
from infra.cli.registry.plan import Change, Plan
from infra.cli.terminal import line
from infra.cli.views import print_secret, secret_document

_VALUE_AT = 20  # the column of a field's value
_IN_LABEL = {"app_id", "slug", "installation_id"}


def run(
    stack_name: str,
    file: str,
    *,
    allow_http: bool,
    allow_private_addresses: bool,
    any_port: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Plan, show, ask, show the new secrets, write; with `dry_run` only plan and show."""
    content = files.read_text(file)
    found = stack.find(stack_name)
    connection = stack.bind(found)
    ports = None if any_port else frozenset[int]()
    accepted = EndpointPolicy(http=allow_http, private=allow_private_addresses, ports=ports)
    plan = _plan(file, content, widen(found.endpoint_policy, accepted), as_json=as_json)
    console = terminal.console()
    if as_json:
        terminal.print_json({"stack": found.name} | document(plan, with_secrets=yes and not dry_run))
    else:
        print_plan(plan, console)
    if dry_run and not as_json:
        line(console, "Nothing was written.")
    if plan.empty or dry_run:
        return
    if not yes:
        refusal = "nothing is written yet: add --yes to apply these changes"
        terminal.confirm(f"Apply to {found.title}?", refusal, as_json=as_json)
    if not as_json:
        for app_id in sorted(plan.generated):
            print_secret(app_id, plan.secrets[app_id], console)
    sys.stdout.flush()  # an operator must have a secret before it is stored
    deps = identity.transition_dependencies(found, connection)
    effects.execute(plan, deps, identity.operator())
    if not as_json:
        line(console, f"Applied to {found.title}. {found.next('apps')}")


def widen(policy: EndpointPolicy, other: EndpointPolicy) -> EndpointPolicy:
    """The policy that allows what either of the two allows."""
    ports = None if policy.ports is None or other.ports is None else policy.ports | other.ports
    return EndpointPolicy(http=policy.http or other.http, private=policy.private or other.private, ports=ports)


def document(plan: Plan, *, with_secrets: bool) -> dict[str, Any]:
    """A plan as JSON; the new secrets only if they are about to be stored."""
    shown = sorted(plan.generated) if with_secrets else ()
    return {
        "changes": [_change_document(change) for change in plan.changes],
        "unchanged": plan.unchanged,
        "takes_away": {change.spec.label: change.takes_away for change in _taking(plan)},
        "notes": list(plan.notes),
        "stores_secrets_of": sorted(plan.secrets),
        "new_secrets": {app_id: secret_document(plan.secrets[app_id]) for app_id in shown},
    }


def print_plan(plan: Plan, console: Console) -> None:
    """Print the changes, old -> new by field."""
    for change in plan.changes:
        _print_change(change, console)
    for app_id, secret in plan.secrets.items():
        kind = "a new signing secret" if app_id in plan.generated else "the imported signing secret"
        by = "" if signature_of(secret) == HMAC else f" ({signature_of(secret)})"
        line(console, f"+ {kind}{by} for {app_id}", "green")
    for change in _taking(plan):
        line(console, f"Takes away from {change.spec.label}: {'; '.join(change.takes_away)}", "yellow")
    for note in plan.notes:
        line(console, f"Note: {note}", "yellow")
    created = sum(change.creates for change in plan.changes)
    updated = len(plan.changes) - created
    line(console, f"{created} to create, {updated} to update, {plan.unchanged} unchanged.", "bold")


def _plan(file: str, content: str, policy: EndpointPolicy, *, as_json: bool) -> Plan:
    try:
        return effects.prepare(loading.parse(content, policy, os.environ))
    except RegistryFileError as error:
        if as_json:
            terminal.print_json({"problems": [asdict(problem) for problem in error.problems]})
        raise CommandError(*(f"{file}: {problem}" for problem in error.problems)) from None


def _taking(plan: Plan) -> list[Change]:
    return [change for change in plan.changes if change.takes_away]


def _change_document(change: Change) -> dict[str, Any]:
    fields = {name: _values_document(name, old, new) for name, (old, new) in change.fields.items()}
    return {"change": "create" if change.creates else "update", "item": change.spec.label, "fields": fields}


def _values_document(name: str, old: Any, new: Any) -> dict[str, Any]:
    if name in secret_values.FIELDS:
        shown = {"old": secret_values.masked(name, old), "new": secret_values.masked(name, new)}
        return shown | {"changed": secret_values.changed(old, new)}
    return {"old": old, "new": new}


def _print_change(change: Change, console: Console) -> None:
    style = "green" if change.creates else "yellow"
    line(console, f"{'+' if change.creates else '~'} {change.spec.label}", style)
    for name, (old, new) in change.fields.items():
        evident = change.creates and (name in _IN_LABEL or new is None)
        if not evident:
            text = f"    {name:<16}{_difference(name, old, new, creates=change.creates)}"
            line(console, text, indent=_VALUE_AT)


def _difference(name: str, old: Any, new: Any, *, creates: bool) -> str:
    if name in secret_values.FIELDS:
        return secret_values.difference(name, old, new)
    shorten = collapse if name == "events" else tuple
    if creates:
        return _value(shorten(new) if isinstance(new, tuple) else new)
    if isinstance(old, tuple) and isinstance(new, tuple):
        added = shorten(item for item in new if item not in old)
        removed = shorten(item for item in old if item not in new)
        return " ".join([*(f"+{item}" for item in added), *(f"-{item}" for item in removed)])
    return f"{_value(old)} -> {_value(new)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "(not set)" if value is None else str(value)
