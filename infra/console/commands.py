"""What each command does, once it is known which stack it is about."""

import os
import random
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import typer

from bellhop.attempts import KEPT
from deliver.http.guard import EndpointPolicy
from infra.console import (
    again,
    documents,
    errors,
    log,
    output,
    policy,
    publish,
    registry_file,
    render,
    render_app,
    render_log,
    render_policy,
    rotate,
    show,
    stack,
    text,
)
from infra.console import apply as effects
from infra.console.errors import ConsoleError
from infra.console.plan import Plan, PlanConflictError


def apply(stack_name: str, file: str, widened: EndpointPolicy, *, yes: bool, as_json: bool) -> None:
    """Plan, show, ask, show the new secrets, write."""
    content = _read(file)
    found = stack.find(stack_name)
    connection = stack.bind(found)
    plan = _plan(file, content, widen(found.policy, widened))
    if as_json:
        output.print_json({"stack": found.name} | documents.plan(plan, with_secrets=yes))
    else:
        render.plan(plan, output.console())
    if plan.empty:
        return
    if not yes:
        refusal = "nothing is written yet: add --yes to apply these changes"
        output.confirm(f"Apply to {found.name}?", refusal, as_json=as_json)
    if not as_json:
        render.secrets(plan, output.console())
    sys.stdout.flush()  # a secret is on its way to the operator before it is stored
    effects.execute(plan, connection)
    if not as_json:
        output.console().print(f"Applied to {found.name}. Next: bellhop app", markup=False, highlight=False)


def widen(policy: EndpointPolicy, extra: EndpointPolicy) -> EndpointPolicy:
    """What either of two policies allows."""
    ports = None if policy.ports is None or extra.ports is None else policy.ports | extra.ports
    return EndpointPolicy(http=policy.http or extra.http, private=policy.private or extra.private, ports=ports)


def publish_events(stack_name: str, file: str, *, as_json: bool) -> None:
    """Validate all, then send all."""
    events = publish.read(_read(file))
    found = stack.find(stack_name)
    publish.send(events, stack.sqs(), found.events_queue_url, _pause)
    sent = [event for _, event in events]
    if as_json:
        names = ("event_id", "organization_id")
        output.print_json([{n: getattr(e, n) for n in names} | {"event": e.name} for e in sent])
    else:
        render.published(sent, output.console())


def show_log(stack_name: str, app_id: str, limit: int, since: str, *, failures: bool, as_json: bool) -> None:
    """An app's attempts."""
    back = text.span("--since", since, KEPT)
    stack.bind(stack.find(stack_name))
    show.app(app_id)
    read = log.read(app_id, datetime.now(UTC), back, limit, failures=failures)
    if as_json:
        output.print_json({"app_id": app_id} | documents.log(read))
    else:
        render_log.log(app_id, read, output.console(), failures=failures, since=since)


def show_app(stack_name: str, app_id: str | None, *, as_json: bool) -> None:
    """An app, or the directory."""
    stack.bind(stack.find(stack_name))
    if app_id is None:
        apps = show.directory()
        output.print_json(documents.directory(apps)) if as_json else render.directory(apps, output.console())
    else:
        view = show.view(app_id, datetime.now(UTC))
        output.print_json(documents.app(view)) if as_json else render_app.app(view, output.console())


def rotate_secret(
    stack_name: str, app_id: str, overlap: str, variable: str | None, *, force: bool, as_json: bool
) -> None:
    """Show the new secret, then write it."""
    both = text.span("--overlap", overlap, rotate.LONGEST, zero=True)
    imported = None if variable is None else _variable(variable)
    found = stack.find(stack_name)
    stack.bind(found)
    show.app(app_id)
    made = rotate.prepare(app_id, imported, both, datetime.now(UTC), force=force)
    if as_json:
        output.print_json(documents.rotation(made, found.cache_seconds))
    else:
        render.rotation(made, output.console())
    sys.stdout.flush()  # as in apply
    rotate.execute(made)
    if not as_json:
        render.rotated(made, found.cache_seconds, output.console())


def show_policy(stack_name: str, *, as_json: bool) -> None:
    """The stack's retry policy."""
    found = stack.find(stack_name)
    schedule = policy.of(found.retry_delays, found.deadline, found.thresholds.pause_hours)
    output.print_json(asdict(schedule)) if as_json else render_policy.policy(schedule, output.console())


def retry(stack_name: str, delivery_id: str, *, force: bool, as_json: bool) -> None:
    """A delivery's next attempt, now."""
    found = stack.find(stack_name)
    stack.bind(found)
    group = found.outputs[stack.SCHEDULE_GROUP]
    lane = again.Lane(stack.sqs(), found.outputs[stack.RETRIES_QUEUE], stack.scheduler(), group)
    sent = again.retry(delivery_id, lane, datetime.now(UTC), force=force)
    output.print_json(asdict(sent)) if as_json else render.sent(sent, output.console())


def fail(error: Exception) -> NoReturn:
    """Say what is wrong and end with 1; a bug of ours goes on as it is."""
    lines = error.lines if isinstance(error, ConsoleError) else (errors.explain(error),)
    for line in lines:
        if line is None:
            raise error
        typer.echo(f"error: {text.printable(line)}", err=True)
    raise typer.Exit(1) from None


def _plan(file: str, content: str, policy: EndpointPolicy) -> Plan:
    try:
        return effects.prepare(registry_file.parse(content, policy, os.environ))
    except registry_file.RegistryFileError as error:
        raise ConsoleError(*(f"{file}: {problem}" for problem in error.problems)) from None
    except PlanConflictError as error:
        raise ConsoleError(*(f"{file}: {problem}" for problem in error.problems)) from None


def _variable(name: str) -> str:
    if name not in os.environ:
        raise ConsoleError(f"--secret-env names {name}, which is not set: export it")
    return os.environ[name]


def _read(file: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConsoleError(f"{file}: {error.strerror or error}: name a file that can be read") from None
    except UnicodeDecodeError as error:
        raise ConsoleError(f"{file}: is not UTF-8 at byte {error.start}: save it as UTF-8") from None


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.2 * 2**attempt))  # noqa: S311 - jitter, not a secret
