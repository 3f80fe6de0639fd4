"""bellhop dead-letters: look at dead letters, send them back to where they came from, delete or export them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import typer
from rich.console import Console

from bellhop.clock import utc_now
from health.mail.wording import counted
from infra.cli import stack, terminal
from infra.cli.dead_letters.queues import HIDDEN_SECONDS, MOST, DeadLetter, DeadLetterQueue, find_queues
from infra.cli.errors import CommandError, UsageError
from infra.cli.stack import Stack
from infra.cli.terminal import labelled, line, table
from infra.cli.text import duration, utc

BODY_SHOWN = 4_000  # characters: two or three screens; a body may have 256 KiB

_LABELS = {"organization_id": "org", "next_attempt": "attempt"}  # others are the names without _id


@dataclass(frozen=True, slots=True)
class Found:
    """What a queue has: its dead letters, whether these are all, and how many another command just received."""

    messages: list[DeadLetter]
    complete: bool
    hidden: int


@dataclass
class Done:
    """What became of messages: how many were redriven or deleted, by queue; and why others were left."""

    counts: Counter[str] = field(default_factory=Counter)
    left: list[tuple[DeadLetter, str]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def document(self, verb: str) -> dict[str, Any]:
        """As JSON."""
        left = [{"queue": each.queue, "message_id": each.message_id, "reason": why} for each, why in self.left]
        return {verb: dict(self.counts), "left": left, "not_found": sorted(self.missing)}


def show_all(stack_name: str, queue: str | None, *, limit: int, as_json: bool) -> None:
    """List the dead letters, the oldest of each queue first."""
    found_stack = stack.find(stack_name)
    queues = find_queues(found_stack, queue)
    with ThreadPoolExecutor(len(queues)) as pool:
        found = list(pool.map(partial(_read, most=limit), queues))
    messages = [message for of_queue in found for message in of_queue.messages]
    complete, hidden = all(each.complete for each in found), sum(each.hidden for each in found)
    if as_json:
        rows = [document(each) for each in messages]
        terminal.print_json({"dead_letters": rows, "complete": complete, "hidden": hidden})
    else:
        _print_all(messages, hidden, found_stack, terminal.console(), complete=complete)


def show(stack_name: str, message_id: str, *, as_json: bool) -> None:
    """Show one dead letter; of a long body a person gets the beginning."""
    found = stack.find(stack_name)
    message = _find_one(find_queues(found, None), message_id)
    if as_json:
        terminal.print_json(document(message))
    else:
        _print_one(message, found, terminal.console())


def redrive(stack_name: str, message_ids: Sequence[str], queue: str | None, *, every: bool, as_json: bool) -> None:
    """Send dead letters back to the queue that they came from."""
    queues = _chosen_queues(stack_name, message_ids, queue, every=every)
    done = Done(missing=set(message_ids))
    for each in queues:
        _redrive_from(each, message_ids, done)
    _report(done, "redriven", as_json=as_json)


def delete(
    stack_name: str, message_ids: Sequence[str], queue: str | None, *, every: bool, yes: bool, as_json: bool
) -> None:
    """Delete dead letters."""
    queues = _chosen_queues(stack_name, message_ids, queue, every=every)
    done = Done(missing=set(message_ids))
    if not yes:
        there = _look(queues, message_ids)
        if not there.counts.total():
            _report(there, "deleted", as_json=as_json)
            return
        question = f"Delete {_counts_text(there)}?"
        terminal.confirm(question, "nothing is deleted yet: add --yes", as_json=as_json)
    for each in queues:
        _delete_from(each, message_ids, done)
    _report(done, "deleted", as_json=as_json)


def export(stack_name: str, queue: str | None) -> None:
    """Write the dead letters as JSON lines, and leave them where they are."""
    number, complete = 0, True
    for each in find_queues(stack.find(stack_name), queue):
        with each.reading() as reading:
            for page in reading.pages():
                for message in page:
                    typer.echo(json.dumps(document(message)))
                number += len(page)
        complete = complete and reading.complete
    rest = "" if complete else f", the first {MOST:,} of a queue: delete or redrive them to see the others"
    typer.echo(f"{counted(number, 'dead letter')}{rest}", err=True)


def document(message: DeadLetter) -> dict[str, Any]:
    """A dead letter as JSON, with the message as it is in the queue."""
    content = message.content
    return {
        "queue": message.queue,
        "message_id": message.message_id,
        "kind": content.kind,
        "reason": content.reason,
        "names": dict(content.names),
        "obstacle": content.obstacle,
        "sent_at": message.sent_at.isoformat(timespec="seconds"),
        "kept_until": message.kept_until.isoformat(timespec="seconds"),
        "group": message.group,
        "attributes": message.attributes,
        "body": message.body,
    }


# ---- Reading and changing


def _read(queue: DeadLetterQueue, most: int) -> Found:
    with queue.reading(most) as reading:
        messages = [message for page in reading.pages() for message in page]
    return Found(sorted(messages, key=lambda message: message.sent_at), reading.complete, queue.hidden())


def _find_one(queues: Iterable[DeadLetterQueue], message_id: str) -> DeadLetter:
    for queue in queues:
        with queue.reading() as reading:
            for page in reading.pages():
                for message in page:
                    if message.message_id == message_id:
                        return message
    raise CommandError(f"no dead letter {message_id!r}: `bellhop dead-letters list` shows their ids")


def _chosen_queues(
    stack_name: str, message_ids: Sequence[str], queue: str | None, *, every: bool
) -> list[DeadLetterQueue]:
    if bool(message_ids) + every + bool(queue and not message_ids) != 1:
        raise UsageError("name the dead letters by their ids, or a queue by --queue, or --all")
    return find_queues(stack.find(stack_name), queue)


def _redrive_from(queue: DeadLetterQueue, message_ids: Sequence[str], done: Done) -> None:
    with queue.reading() as reading:
        for page in _wanted(reading.pages(), message_ids, done):
            refused = [(message, message.content.obstacle) for message in page]
            done.left += [(message, obstacle) for message, obstacle in refused if obstacle]
            ready = [message for message, obstacle in refused if not obstacle]
            # In this order a death in between leaves a copy too many, which does no harm, and never none.
            sent = queue.send_back(ready)
            done.left += [(message, f"{queue.name} did not take it") for message in ready if message not in sent]
            done.counts[queue.name] += len(sent)
            remaining = reading.delete(sent)
            done.left += [(message, "redriven, and not taken off its queue") for message in remaining]


def _delete_from(queue: DeadLetterQueue, message_ids: Sequence[str], done: Done) -> None:
    with queue.reading() as reading:
        for page in _wanted(reading.pages(), message_ids, done):
            remaining = reading.delete(page)
            done.left += [(message, "SQS did not delete it") for message in remaining]
            done.counts[queue.name] += len(page) - len(remaining)


def _look(queues: Iterable[DeadLetterQueue], message_ids: Sequence[str]) -> Done:
    """How many there are of what a person is about to be asked about."""
    seen = Done(missing=set(message_ids))
    for queue in queues:
        with queue.reading() as reading:
            for page in _wanted(reading.pages(), message_ids, seen):
                seen.counts[queue.name] += len(page)
    return seen


def _wanted(
    pages: Iterable[list[DeadLetter]], message_ids: Sequence[str], done: Done
) -> Iterator[list[DeadLetter]]:
    """The messages with these ids, or all if none are named; ends when all that are named were found."""
    for page in pages:
        if not message_ids:
            yield page
            continue
        found = [message for message in page if message.message_id in done.missing]
        done.missing -= {message.message_id for message in found}
        yield found
        if not done.missing:
            return


# ---- Printing


def _report(done: Done, verb: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json(done.document(verb))
    else:
        _print_done(done, verb, terminal.console())
    if done.left or done.missing:
        raise typer.Exit(1)


def _print_done(done: Done, verb: str, console: Console) -> None:
    for message, why in done.left:
        line(console, f"{message.message_id} of {message.queue}: {why}", "yellow")
    for message_id in sorted(done.missing):
        line(console, f"no dead letter {message_id}: `bellhop dead-letters list` shows their ids", "yellow")
    line(console, f"{_counts_text(done)} {verb}.", "bold")


def _counts_text(done: Done) -> str:
    """How many, such as "2 dead letters of Retries" or "3 dead letters (2 of Retries, 1 of IssueEvents)"."""
    counts, number = +done.counts, counted(done.counts.total(), "dead letter")
    if len(counts) == 1:
        return f"{number} of {next(iter(counts))}"
    return number + (f" ({', '.join(f'{n:,} of {queue}' for queue, n in counts.items())})" if counts else "")


def _print_all(
    messages: Sequence[DeadLetter], hidden: int, found: Stack, console: Console, *, complete: bool
) -> None:
    rows = []
    for message in messages:
        content = message.content
        names = " ".join(content.names.values())
        rows.append((message.queue, utc(message.sent_at), message.message_id, content.kind, names, content.reason))
    table(console, ("queue", "time (UTC)", "message", "kind", "of", "reason"), rows)
    extent = "" if complete else ", the first of each queue: --limit shows more"
    line(console, f"{counted(len(messages), 'dead letter')}{extent}.", "bold")
    if hidden:
        line(console, f"Another command is reading {hidden:,} more, or died: they show within {HIDDEN_SECONDS} s.")
    if messages:
        redriven = ["redrive"] if any(message.content.obstacle is None for message in messages) else []
        if not redriven:
            line(console, "None of these can be redriven: show says why.")
        one = messages[0].message_id if len(messages) == 1 else "MESSAGE"
        line(console, found.next(*(f"dead-letters {verb} {one}" for verb in ("show", *redriven, "delete"))))


def _print_one(message: DeadLetter, found: Stack, console: Console) -> None:
    content = message.content
    line(console, f"{content.kind}, in the dead-letter queue of {message.queue}", "bold")
    labelled(console, "reason", content.reason)
    for name, value in content.names.items():
        labelled(console, _LABELS.get(name, name.removesuffix("_id")), value)
    left = duration(max(0.0, (message.kept_until - utc_now()).total_seconds()))
    labelled(console, "sent", f"{utc(message.sent_at)} UTC, kept for {left} more")
    for name, text in message.attributes.items():
        labelled(console, "attribute", f"{name}: {text}")
    body = message.body if content.body is None else content.body
    labelled(console, "body", body[:BODY_SHOWN])
    if len(body) > BODY_SHOWN:
        labelled(console, "", f"... and {counted(len(body) - BODY_SHOWN, 'more character')}: --json has all")
    if content.obstacle:
        line(console, f"It is not redriven: {content.obstacle}", "yellow")
        line(console, found.next(f"dead-letters delete {message.message_id}"))
    else:
        line(console, found.next(f"dead-letters redrive {message.message_id}"))
