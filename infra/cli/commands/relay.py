"""bellhop relay: copies of an app's deliveries for a program on this machine, without a tunnel."""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import typer
from rich.console import Console
from rich.text import Text

from bellhop.attempts import KEPT
from bellhop.text import printable
from infra.cli import chosen_apps, errors, forwarding, signing_secrets, stack, terminal
from infra.cli.attempt_log import RECORDS
from infra.cli.entries import Wanted
from infra.cli.errors import UsageError
from infra.cli.following import MOST, Following, WithBodies, looks
from infra.cli.registry.events import unknown_name
from infra.cli.relaying import NOT_KEPT, Copy, Once, Relay
from infra.cli.terminal import line
from infra.cli.views import print_forms, verified_by

EVERY = 1.0  # seconds between two looks

_TEXT = 100  # characters of a response that are shown
_INCOMPLETE = (
    f"warning: so much was attempted that not all of it is copied: of a look, at most {MOST:,} deliveries, and "
    f"{RECORDS} that failed or wait"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    app_id: str
    to: str
    event: str | None
    organization_id: str | None
    since: str | None
    secret_env: str | None
    signature: str


def run(stack_name: str, options: Options, *, as_json: bool) -> None:
    """Relay until Ctrl-C."""
    now = datetime.now(UTC)
    if options.event and (wrong := unknown_name(options.event)):
        raise UsageError(f"--event {wrong}")
    url = forwarding.read_url("--to", options.to)
    signature = signing_secrets.read_signature("--signature", options.signature)
    given = options.secret_env
    secret = signing_secrets.read_variable("--secret-env", given, os.environ) if given else None
    since = terminal.read_moment("--since", options.since, now, KEPT) if options.since else now
    found = stack.find(stack_name)
    stack.bind(found)
    apps = chosen_apps.choose([options.app_id], options.organization_id)
    relay = Relay(url, secret or signing_secrets.generate(signature))
    keeps = bool(found.keep_delivered)
    _introduce(relay, options.app_id, shown=secret is None, keeps=keeps)
    following = Following(apps, since, Wanted(event=options.event), chain=timedelta(0))
    _relay(relay, following, keeps=keeps, as_json=as_json)


def _introduce(relay: Relay, app_id: str, *, shown: bool, keeps: bool) -> None:
    # Beside what is printed of the copies, which a program may read.
    console = terminal.console(beside=True)
    line(console, f"Relaying {app_id} to {relay.url} until Ctrl-C.", "bold")
    if shown:
        made = f"this {verified_by(relay.secret)}, made for this relay"
        line(console, f"Copies are verified by {made}; the app's own is another one:")
        print_forms(relay.secret, console)
    if not keeps:
        line(
            console,
            "KeepDeliveredDays is 0: of what succeeds at the first attempt no body is kept, so it is missed.",
        )


def _relay(relay: Relay, following: Following, *, keeps: bool, as_json: bool) -> None:
    # Ctrl-C is how it ends, so it is no error.
    console, counts, complete = terminal.console(), Counter[str](), True
    try:
        for found in looks(WithBodies(Once(following), keeps), EVERY):
            for copy in relay.copies(found):
                counts[_outcome(copy)] += 1
                if as_json:
                    terminal.print_json_line(copy.document())
                else:
                    _print(copy, console)
            if complete and not following.complete:
                errors.say(_INCOMPLETE)
            complete = following.complete
    except KeyboardInterrupt:
        typer.echo(_sum(counts), err=True)


def _outcome(copy: Copy) -> str:
    if copy.missed:
        return f"missed, as {NOT_KEPT}"
    if copy.response is None:
        return "without a response"
    return "accepted" if copy.accepted else "not accepted"


def _sum(counts: Counter[str]) -> str:
    total = counts.total()
    parts = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.most_common())
    return f"{total:,} {'delivery' if total == 1 else 'deliveries'}{f': {parts}' if parts else ''}."


def _print(copy: Copy, console: Console) -> None:
    entry = copy.entry
    resent = "  resent" if entry.resent else ""
    head = Text(printable(f"{copy.at:%H:%M:%S}  {entry.event}{resent}  {entry.delivery_id}"))
    style = "green" if copy.accepted else "yellow" if copy.missed else "red"
    response = Text(printable(_response(copy)), style)
    if console.soft_wrap or head.cell_len + 2 + response.cell_len <= console.width:
        line(console, Text("  ").join([head, response]))
    else:
        line(console, head)
        line(console, Text("    ") + response)


def _response(copy: Copy) -> str:
    if copy.missed:
        return f"missed: {copy.error}"
    if copy.response is None:
        return f"no response: {copy.error}"
    text = "" if copy.accepted or not copy.text else f": {copy.text[:_TEXT]}"
    return f"-> {copy.response.status}  {copy.milliseconds} ms{text}"
