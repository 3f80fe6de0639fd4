"""What an operator sees of a ping, of switching an app, and of a replay."""

from datetime import datetime

from rich.console import Console

from bellhop.attempts import EXHAUSTED, KEPT, PARKED
from bellhop.registry import DISABLED, App, AuditEntry
from infra.console import mailing
from infra.console.held import Held
from infra.console.ping import Response
from infra.console.printing import line
from infra.console.replay import Started
from infra.console.text import duration, utc

_LINES = 40  # of an answer's body


def response(given: Response, console: Console) -> None:
    """A ping's answer in full."""
    line(console, f"{given.app_id}: pinged {given.url}", "bold")
    status = "" if given.status is None else f" (status {given.status})"
    line(console, f"    result   {given.result}{status}", "green" if given.well else "red")
    line(console, f"    time     {given.milliseconds:,} ms, at {moment(given.at)}")
    for number, (name, value) in enumerate(given.headers.items()):
        line(console, f"    {'headers' if number == 0 else '       '}  {name}: {value}")
    _body(given.body, console)
    line(console, given.meaning, "green" if given.well else "red")


def pinged(given: Response, console: Console) -> None:
    """A ping's answer on a line."""
    line(console, f"Pinged {given.url}: {given.result} in {given.milliseconds:,} ms.")


def switched(to: str, entry: AuditEntry, cache_seconds: int, console: Console) -> None:
    """That an app is on or off."""
    line(console, f"Switched {entry.app_id} {to}, as {entry.actor}.", "bold")
    line(console, f"Functions see it within {cache_seconds} s (CacheSeconds).")


def kept(app: App, held: Held, rate: float | None, console: Console) -> None:
    """What becomes of what is kept, once an app is on; `rate` None is no replay."""
    if rate is None:
        line(console, f"Kept and not replayed: {held.said()}. Later: bellhop replay {app.app_id}")
    else:
        line(console, _following(held.total([PARKED]), rate, complete=held.complete))
        if held.total([EXHAUSTED]):
            again = f"bellhop replay {app.app_id} --exhausted"
            line(console, f"{held.total([EXHAUSTED]):,} exhausted stay where they are: {again}")
    line(console, f"Next: bellhop explain {app.app_id}; bellhop log {app.app_id}")


def told(app: App, entry: AuditEntry, console: Console) -> None:
    """Who hears that an app is off, and the way back."""
    owners = ", ".join(mailing.states(entry))
    line(console, f"Health mails {owners}." if owners else "Nobody gets mail: it has no owners.")
    line(console, f"What arrives from now on is parked for {KEPT.days} days.")
    if app.auto_enable:
        line(console, "It is not pinged while it is off by hand, though it asks for that (auto_enable).")
    line(console, f"Back: bellhop enable {entry.app_id}. Next: bellhop explain {entry.app_id}")


def already(app: App, change: AuditEntry | None, *, resumed: bool, console: Console) -> None:
    """That an app was in that state before."""
    since = f", since {moment(change.at)}, by {change.actor}" if change else ""
    line(console, f"{app.app_id} is {'off' if app.state == DISABLED else 'on'} already{since}.", "bold")
    if resumed:
        line(console, "What was to follow it had never been begun; health does it now.")
    line(console, f"Next: bellhop explain {app.app_id}")


def started(what: Started, console: Console) -> None:
    """A replay, or that there is nothing to replay."""
    if what.rate is None:
        line(console, f"Nothing of {what.app_id} is {' or '.join(what.states)}: nothing to replay.", "bold")
        if what.held.total([EXHAUSTED]):
            line(console, f"Exhausted: {what.held.said([EXHAUSTED])}. bellhop replay {what.app_id} --exhausted")
        return
    line(console, f"Kept of {what.app_id}: {what.held.said()}.", "bold")
    line(console, _following(what.held.total(what.states), what.rate, complete=what.held.complete))
    line(console, f"Next: bellhop log {what.app_id}")


def moment(at: str) -> str:
    """A stored time as an operator reads it."""
    return f"{utc(datetime.fromisoformat(at))} UTC"


def _following(number: int, rate: float, *, complete: bool) -> str:
    if not number and complete:
        return "Nothing was kept; what is parked until all functions see it is replayed."
    least = "" if complete else "at least "
    some = f"{least}{number:,} kept {'delivery follows' if number == 1 else 'deliveries follow'}"
    return (
        f"{some[0].upper()}{some[1:]}, oldest first, {rate:g} a second: {least}{duration(max(1, number / rate))}."
    )


def _body(body: str, console: Console) -> None:
    lines = body.splitlines()
    if not lines:
        line(console, "    body     (empty)")
    for number, text in enumerate(lines[:_LINES]):
        line(console, f"    {'body' if number == 0 else '    '}     {text}")
    if len(lines) > _LINES:
        line(console, f"             ... and {len(lines) - _LINES} more lines: --json has them")
