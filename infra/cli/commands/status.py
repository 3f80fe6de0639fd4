"""bellhop status: the whole stack on one screen."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import boto3
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bellhop.text import cut, printable
from health.mail.wording import counted
from infra.cli import stack, terminal
from infra.cli.condition import CONDITIONS, FAILING, OFF, ON, PAUSED, SLOW
from infra.cli.doctor.looking import QUEUE, Deployed
from infra.cli.resending import jobs
from infra.cli.resending.jobs import Progress
from infra.cli.stack import Stack
from infra.cli.status import fleet, queues, traffic
from infra.cli.status.fleet import AppStatus, Fleet
from infra.cli.status.queues import QueueDepth
from infra.cli.status.traffic import Traffic
from infra.cli.text import duration, utc, wrap

EVERY = 2.0  # seconds between two looks of --watch
PIPED_ROWS = 60  # lines of a screen that is no terminal
_MOST_MAILS = 2  # lines for mails
_MOST_REASONS = 2  # of a queue's dead letters, each on a line

# A pause or a failure is news; who is off stays off until somebody acts.
_URGENT = (PAUSED, FAILING, OFF, SLOW)
_REMARKS = {"Retries": "retries, trials and slow apps", "Transitions": "mail, replays, resends, checks"}


@dataclass(frozen=True, slots=True)
class Status:
    """What is seen of a stack at `now`. `retrying`: how many deliveries wait for a retry, and if that is all.

    `resends`: those that are not over.
    """

    stack: Stack
    now: datetime
    queues: Sequence[QueueDepth]
    traffic: Traffic
    fleet: Fleet
    retrying: tuple[int, bool]
    resends: Sequence[Progress] = ()


def run(stack_name: str, *, watch: bool, as_json: bool) -> None:
    """Read the status and print it; with `watch` again and again, until Ctrl-C."""
    found = stack.find(stack_name)
    stack.bind(found)
    deployed = Deployed(found, boto3.Session().region_name or "", _clients())
    if not watch:
        status = read(deployed, datetime.now(UTC))
        if as_json:
            terminal.print_json(document(status))
        else:
            console = terminal.console()
            console.print(Group(*screen(status, console.width, _height(console))), soft_wrap=True)
        return
    _watch(deployed, as_json=as_json)


def read(deployed: Deployed, now: datetime) -> Status:
    """Look at everything, side by side."""
    urls = deployed.physical_ids(QUEUE)
    with ThreadPoolExecutor(4) as pool:
        apps = pool.submit(fleet.read, now)
        retrying = pool.submit(fleet.count_retrying)
        resends = pool.submit(jobs.not_over, now)
        seen = pool.submit(traffic.read, deployed, urls, now).result()
        depths = queues.read(deployed.client("sqs"), urls, seen.ages)
        later = (apps.result(), retrying.result(), resends.result())
        return Status(deployed.stack, now, depths, seen, *later)


def document(status: Status) -> dict[str, Any]:
    """The status as JSON."""
    parked, all_parked = status.fleet.parked
    retrying, all_retrying = status.retrying
    return {
        "stack": status.stack.name,
        "state": status.stack.status,
        "at": status.now.isoformat(timespec="seconds"),
        "traffic": status.traffic.document(),
        "queues": [queue.document() for queue in status.queues],
        "retrying": {"number": retrying, "complete": all_retrying},
        "parked": {"number": parked, "complete": all_parked},
        "counts": {name: status.fleet.counts[name] for name in CONDITIONS},
        "resends": [each.document() for each in status.resends],
        "apps": [each.document() for each in status.fleet.apps if each.name != ON],
        "mails": [
            {"app_id": entry.app_id, "transition_id": entry.transition_id}
            for each in status.fleet.apps
            for entry in each.undelivered_mails
        ],
    }


def screen(status: Status, width: int, height: int) -> list[Text | Table]:
    """The status on so many columns and lines; of the apps, as many as fit."""
    above: list[Text | Table] = [
        _line(f"{status.stack.name}  {status.stack.status}  seen at {utc(status.now)} UTC", width, "bold"),
        *_traffic_lines(status.traffic, width),
        _queue_table(status.queues),
    ]
    lines = len(above) + len(queues.NAMES)
    dead = [_line(text, width, "red") for text in _dead_letters(status)]
    below = [
        _line(_waiting_text(status), width),
        *(_line(each.brief(status.stack), width) for each in status.resends),
        *_mail_lines(status, width),
        *_next_lines(status, width),
    ]
    room = height - lines - len(dead) - len(below) - 2  # the line of counts, and the shell's own
    return [
        *above,
        *dead,
        _counts_line(status, width),
        *_app_lines(status, width, max(room, 1)),
        *below,
    ]


def _watch(deployed: Deployed, *, as_json: bool) -> None:
    # Ctrl-C is how it ends, so it is no error.
    try:
        if as_json:
            for status in _again_and_again(deployed):
                terminal.print_json_line(document(status))
            return
        console = terminal.console()
        with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            for status in _again_and_again(deployed):
                live.update(Group(*screen(status, console.width, _height(console))), refresh=True)
    except KeyboardInterrupt:
        return


def _again_and_again(deployed: Deployed) -> Iterator[Status]:
    while True:
        yield read(deployed, datetime.now(UTC))
        time.sleep(EVERY)


def _traffic_lines(seen: Traffic, width: int) -> list[Text]:
    return [each for text in (seen.text(), seen.delays_text()) if text for each in _lines(text, width)]


def _queue_table(depths: Sequence[QueueDepth]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("queue", no_wrap=True)
    for name in ("waiting", "in work", "delayed", "oldest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim", no_wrap=True)
    for depth in depths:
        if not depth.is_dead:
            numbers = (f"{number:,}" for number in (depth.waiting, depth.in_work, depth.delayed))
            table.add_row(depth.name, *numbers, _age(depth), _REMARKS.get(depth.name, ""))
    return table


def _age(depth: QueueDepth) -> str:
    if depth.oldest_seconds is not None:
        return duration(depth.oldest_seconds)
    return "not known" if depth.waiting else "-"


def _dead_letters(status: Status) -> Iterator[str]:
    for depth in status.queues:
        if depth.is_dead and depth.total:
            yield f"{depth.total:,} in {depth.name}, which nothing handles"
            shown = list(depth.reasons.items())[:_MOST_REASONS]
            for reason, number in shown:
                share = f"{number} of {len(depth.dead_letters)}: " if len(depth.reasons) > 1 else ""
                yield f"  {share}{reason}"
            if len(shown) < len(depth.reasons):
                everything = status.stack.command("dead-letters list")
                more = counted(len(depth.reasons) - len(shown), "more reason")
                yield f"  and {more}: {everything}"


def _counts_line(status: Status, width: int) -> Text:
    number, counts = len(status.fleet.apps), status.fleet.counts
    parts = [f"{counts[name]:,} {name}" for name in CONDITIONS if counts[name]]
    none = f"none registered: {status.stack.command('apply FILE')}"
    return _line(f"{counted(number, 'app')}: {', '.join(parts) or none}", width, "bold")


def _app_lines(status: Status, width: int, room: int) -> list[Text]:
    unwell = status.fleet.in_condition(*_URGENT)
    shown = sorted(_chosen(unwell, room if len(unwell) <= room else room - 1), key=_urgency)
    name_width = min(max((len(each.app.app_id) for each in shown), default=0), 24)
    lines = [
        Text.assemble(
            "  ",
            terminal.state(f"{each.name:<8}"),
            _line(f"{each.app.app_id:<{name_width}}  {each.brief()}", width - 10),
        )
        for each in shown
    ]
    if len(shown) < len(unwell):
        lines.append(_line(f"  and {len(unwell) - len(shown):,} more: {status.stack.command('apps')}", width))
    return lines


def _chosen(unwell: Sequence[AppStatus], room: int) -> list[AppStatus]:
    """So many of them, of each condition in turn: many pauses are not to hide who is off."""
    rows = zip_longest(*([each for each in unwell if each.name == name] for name in _URGENT))
    return [each for row in rows for each in row if each][:room]


def _urgency(each: AppStatus) -> tuple[int, str]:
    return _URGENT.index(each.name), each.app.app_id


def _waiting_text(status: Status) -> str:
    parked, complete = status.fleet.parked
    retrying, all_retrying = status.retrying
    return (
        f"{'' if all_retrying else 'at least '}{retrying:,} {'waits' if retrying == 1 else 'wait'} for a retry; "
        f"{'' if complete else 'at least '}{parked:,} parked for apps that are off or paused"
    )


def _mail_lines(status: Status, width: int) -> list[Text]:
    entries = [entry for each in status.fleet.apps for entry in each.undelivered_mails]
    lines = list[Text]()
    for entry in entries[:_MOST_MAILS]:
        show = status.stack.command(f"mail show {entry.app_id} '{entry.transition_id}'")
        lines += _lines(f"mail needs somebody: {show}", width, "yellow")
    if len(entries) > _MOST_MAILS:
        more = counted(len(entries) - _MOST_MAILS, "more mail")
        lines.append(_line(f"  and {more}", width, "yellow"))
    return lines


def _next_lines(status: Status, width: int) -> list[Text]:
    counts: Mapping[str, int] = status.fleet.counts
    worst = next((name for name in (PAUSED, FAILING, OFF) if counts[name]), None)
    commands = ["dead-letters list"] if any(each.is_dead and each.total for each in status.queues) else []
    commands.append(f"apps --{worst}" if worst else "apps")
    return _lines(status.stack.next(*commands, "explain APP", "log APP"), width)


def _lines(text: str, width: int, style: str = "") -> list[Text]:
    """A line with commands, which are not cut: a command that lost its end could mean another stack."""
    return [_line(each, width, style) for each in wrap(text, width, indent=2)]


def _line(text: str, width: int, style: str = "") -> Text:
    return Text(cut(printable(text), max(width, 20)), style)


def _height(console: Console) -> int:
    return console.height if console.is_terminal else PIPED_ROWS


def _clients() -> Any:
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = stack.client(service)
        return made[service]

    return client
