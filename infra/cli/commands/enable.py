"""bellhop enable: switch an app on again, once its endpoint responds well to a ping."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from bellhop.attempts import EXHAUSTED, PARKED
from bellhop.registry import ENABLED, App, AuditEntry
from health import transitions
from health.replay import effective_rate
from health.transitions import TransitionDependencies
from infra.cli import identity, stack, terminal
from infra.cli.commands import ping
from infra.cli.commands.ping import PingResult
from infra.cli.commands.replay import following_text
from infra.cli.errors import CommandError, UsageError
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.transitions import document, leave_as_it_is, print_switched, refuse_late
from infra.cli.views import Replayable, count_replayable, load_app


@dataclass(frozen=True, slots=True)
class ReplayChoice:
    """What is replayed once an app is on; `rate` (deliveries a second) None means ReplayPerSecond of the stack."""

    states: tuple[str, ...] = (PARKED,)
    rate: float | None = None


def run(
    stack_name: str,
    app_id: str,
    *,
    force: bool,
    replay: bool,
    rate: float | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Ping, switch on, say what follows."""
    if rate is not None and not replay:
        raise UsageError("--rate is about the replay, and --no-replay asks for none: drop one of them")
    if reason is not None:
        terminal.check_reason(reason)
    found = stack.find(stack_name)
    deps = identity.transition_dependencies(found, stack.bind(found))
    app = load_app(app_id)
    if app.state == ENABLED:
        leave_as_it_is(app, found, deps, as_json=as_json)
        return
    result = None if force else ping.ping(found, app, wait=None)
    if result and not result.well:
        _refuse(result, as_json=as_json)
    choice = ReplayChoice(rate=rate) if replay else None
    entry = enable(app, identity.operator(), deps, result=result, replay=choice, reason=reason)
    replayable = count_replayable(app_id)
    pace = effective_rate(app, rate or found.replay_per_second) if replay else None
    if as_json:
        what_followed = {"ping": result.document() if result else None, "replay_per_second": pace}
        terminal.print_json(document(entry, replayable) | what_followed)
        return
    console = terminal.console()
    if result:
        line(console, f"Pinged {result.url}: {result.result} in {result.milliseconds:,} ms.")
    print_switched("on", entry, found.cache_seconds, console)
    _print_following(app, replayable, pace, found, console)


def enable(
    app: App,
    actor: str,
    deps: TransitionDependencies,
    *,
    result: PingResult | None,
    replay: ReplayChoice | None,
    reason: str | None,
) -> AuditEntry:
    """Switch a disabled app on.

    Raises:
        CommandError: somebody was quicker.
    """
    off = transitions.last_disabled(app)
    evidence: dict[str, Any] = {
        "rule": transitions.BY_PERSON,
        "url": app.url,
        "off_since": off.at if off else None,
        "days": [],
        "response": {"status": result.status, "ms": result.milliseconds} if result else None,
        "replay": {"states": list(replay.states), "rate": replay.rate} if replay else None,
        "reason": reason,
    }
    entry = transitions.enable(app, actor, evidence, deps, tell_owners=False)
    return entry or refuse_late(app, transitions.enabled_id(int(app.generation)))


def _refuse(result: PingResult, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"app_id": result.app_id, "changed": False, "ping": result.document()})
    else:
        ping.print_result(result, terminal.console())
    raise CommandError(
        f"{result.app_id} stays off, because it would soon be off again: have the endpoint repaired, or switch it "
        "on without a ping, with --force"
    )


def _print_following(app: App, replayable: Replayable, rate: float | None, found: Stack, console: Console) -> None:
    replay = f"replay {app.app_id}"
    if rate is None:
        line(console, f"Not replayed: {replayable.text()}. Later: {found.command(replay)}")
    else:
        line(console, following_text(app, replayable.total([PARKED]), rate, complete=replayable.complete))
        exhausted = replayable.total([EXHAUSTED])
        if exhausted:
            again = found.command(f"{replay} --exhausted")
            line(console, f"{exhausted:,} exhausted stay where they are: {again}")
    line(console, found.next(f"explain {app.app_id}", f"log {app.app_id}"))
