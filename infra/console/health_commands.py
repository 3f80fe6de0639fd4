"""What the commands about an app's health do, once it is known which stack it is about."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import typer

from bellhop import deliveries
from bellhop.deliveries import Delivery
from bellhop.registry import DISABLED, ENABLED, App
from health.replay import effective_rate
from infra.console import (
    actor,
    explain,
    health_documents,
    held,
    output,
    ping,
    render_explain,
    render_health,
    render_what_if,
    replay,
    show,
    stack,
    switching,
    text,
    what_if,
)
from infra.console.errors import ConsoleError
from infra.console.ping import Response
from infra.console.stack import Stack
from infra.console.switching import Replaying

_LONGEST_WAIT = timedelta(days=1)


def ping_app(stack_name: str, app_id: str, wait: str | None, *, as_json: bool) -> None:
    """Ping, show the answer, end with 1 where it is not well."""
    found = stack.find(stack_name)
    stack.bind(found)
    response = _ask(found, show.app(app_id), wait)
    if as_json:
        output.print_json(health_documents.response(response))
    else:
        render_health.response(response, output.console())
    if not response.well:
        raise typer.Exit(1)


def enable(
    stack_name: str,
    app_id: str,
    rate: float | None,
    reason: str | None,
    *,
    force: bool,
    replayed: bool,
    as_json: bool,
) -> None:
    """Ping, switch on, say what follows."""
    if rate is not None and not replayed:
        raise ConsoleError("--rate is of the replay, and --no-replay asks for none: drop one of them")
    found = stack.find(stack_name)
    deps = actor.deps(found, stack.bind(found))
    app = show.app(app_id)
    if app.state == ENABLED:
        _already(app, resumed=switching.resume(app, deps), as_json=as_json)
        return
    response = None if force else _ask(found, app, None)
    if response and not response.well:
        _refuse(response, as_json=as_json)
    replaying = Replaying(rate=rate) if replayed else None
    made = switching.enable(app, actor.name(), deps, response=response, replaying=replaying, reason=reason)
    kept = held.count(app_id)
    pace = effective_rate(app, rate or found.replay_rate) if replaying else None
    if as_json:
        output.print_json(health_documents.switched(app, made, kept) | health_documents.followed(response, pace))
    else:
        if response:
            render_health.pinged(response, output.console())
        render_health.switched("on", made, found.cache_seconds, output.console())
        render_health.kept(app, kept, pace, output.console())


def disable(stack_name: str, app_id: str, reason: str, *, yes: bool, as_json: bool) -> None:
    """Ask, switch off."""
    if not reason.strip():
        raise ConsoleError("--reason is empty: say why; the owners get to read it")
    found = stack.find(stack_name)
    deps = actor.deps(found, stack.bind(found))
    app = show.app(app_id)
    if app.state == DISABLED:
        _already(app, resumed=switching.resume(app, deps), as_json=as_json)
        return
    if not yes:
        question = f"Switch {app_id} off? Its deliveries are parked, and the owners of the app get mail."
        output.confirm(question, f"nothing is done yet: add --yes to switch {app_id} off", as_json=as_json)
    made = switching.disable(app, actor.name(), reason, found.thresholds, deps)
    if as_json:
        output.print_json(health_documents.switched(app, made, held.count(app_id)))
    else:
        render_health.switched("off", made, found.cache_seconds, output.console())
        render_health.told(app, made, output.console())


def explain_app(stack_name: str, app_id: str, *, as_json: bool) -> None:
    """Why it is on or off."""
    found = stack.find(stack_name)
    stack.bind(found)
    known = explain.explain(show.app(app_id), found.thresholds, datetime.now(UTC))
    if as_json:
        output.print_json(health_documents.explanation(known))
    else:
        render_explain.explanation(known, output.console())


def dry_run(stack_name: str, app_id: str, assignments: Sequence[str], *, as_json: bool) -> None:
    """What other thresholds would have done."""
    found = stack.find(stack_name)
    other = what_if.read_settings(assignments, found.thresholds)
    stack.bind(found)
    made = what_if.dry_run(show.app(app_id), found.thresholds, other, datetime.now(UTC))
    if as_json:
        output.print_json(health_documents.dry_run(made))
    else:
        render_what_if.dry_run(made, output.console())


def refuse_settings(assignments: Sequence[str]) -> None:
    """`--set` changes nothing, so it means nothing without `--dry-run`.

    Raises:
        ConsoleError: something is set.
    """
    if assignments:
        raise ConsoleError(
            "--set only asks what would have been: add --dry-run; the stack's thresholds are the parameters "
            "BrokenTimeoutsPerDay, BrokenErrorDays and BrokenPauseHours of `make deploy`"
        )


def start_replay(stack_name: str, app_id: str, rate: float | None, *, exhausted: bool, as_json: bool) -> None:
    """Send what is kept."""
    found = stack.find(stack_name)
    stack.bind(found)
    pace = rate or found.replay_rate
    started = replay.start(show.app(app_id), pace, actor.announcer(found), datetime.now(UTC), exhausted=exhausted)
    if as_json:
        output.print_json(health_documents.started(started))
    else:
        render_health.started(started, output.console())


def _ask(found: Stack, app: App, wait: str | None) -> Response:
    seconds = text.span("--wait", wait, _LONGEST_WAIT).total_seconds() if wait else found.deadline + ping.GRACE
    sqs, url = stack.sqs(), found.outputs[stack.DELIVERIES_QUEUE]

    def send(delivery: Delivery) -> None:
        body = deliveries.encode(delivery)
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=delivery.app_id)

    return ping.ask(app, uuid.uuid4().hex, send, wait=seconds, sleep=time.sleep, clock=time.monotonic)


def _refuse(response: Response, *, as_json: bool) -> None:
    if as_json:
        output.print_json(
            health_documents.unchanged(response.app_id) | {"ping": health_documents.response(response)}
        )
    else:
        render_health.response(response, output.console())
    raise ConsoleError(
        f"{response.app_id} stays off, because it would soon be off again: have the endpoint repaired, or switch it "
        "on without asking it, with --force"
    )


def _already(app: App, *, resumed: bool, as_json: bool) -> None:
    change = switching.last_change(app)
    if as_json:
        output.print_json(health_documents.unchanged(app.app_id) | {"state": app.state, "resumed": resumed})
    else:
        render_health.already(app, change, resumed=resumed, console=output.console())
