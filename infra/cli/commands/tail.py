"""bellhop tail: what the functions log, joined, as lines that a person can read."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from rich.console import Console
from rich.text import Text

from bellhop.text import printable
from infra.cli import log_lines, stack, terminal
from infra.cli.errors import UsageError
from infra.cli.log_lines import GROUPS, Log, LogLine
from infra.cli.terminal import line
from infra.cli.text import utc

LONGEST = timedelta(days=30)
EVERY = 2.0  # seconds between two looks of --follow
LATE = timedelta(seconds=60)  # by which CloudWatch may show a line late
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "LAMBDA": "red"}
_OF_EXCEPTION = {"exception", "exception_name", "stack_trace"}
_LONG = 300  # characters of a field that are shown, such as a list of ids


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines are wanted: of these functions, with this text in them, at least as severe as `level`."""

    functions: Sequence[str]
    text: str
    level: str

    def wants(self, each: LogLine) -> bool:
        """Whether a line is wanted. What Lambda itself says of a failure always is."""
        if each.is_metrics or each.is_routine:
            return False
        return each.level not in LEVELS or LEVELS.index(each.level) >= LEVELS.index(self.level)


def read_asked(functions: Sequence[str], text: str, level: str) -> Asked:
    """What an operator asked for.

    Raises:
        UsageError: a function or level that there is not, or a text with quotes.
    """
    if unknown := [name for name in functions if name not in GROUPS]:
        raise UsageError(f"--function {unknown[0]!r} is none of {', '.join(GROUPS)}")
    if level.upper() not in LEVELS:
        raise UsageError(f"--level {level!r} is none of {', '.join(name.lower() for name in LEVELS)}")
    if '"' in text:
        raise UsageError("--text has a quote, which CloudWatch cannot look for: leave it out")
    return Asked(tuple(functions) or tuple(GROUPS), text, level.upper())


def run(stack_name: str, asked: Asked, *, since: str, follow: bool, as_json: bool) -> None:
    """Print the lines since then; with `follow` also those that come, until Ctrl-C."""
    begin = terminal.read_moment("--since", since, datetime.now(UTC), LONGEST)
    found_stack = stack.find(stack_name)  # first: it decides where the clients go
    log = Log(stack.client("logs"), found_stack.outputs)
    console, looks = terminal.console(), _looks(log, asked, begin, follow=follow)
    try:
        first = next(looks)
        if not (first or as_json):
            line(console, f"No such line since {utc(begin)} UTC. Further back: --since 1d, up to {LONGEST.days}d.")
        for each in chain(first, chain.from_iterable(looks)):
            _print(each, console, as_json=as_json)
    except KeyboardInterrupt:  # which is how it ends, so it is no error
        return


def _looks(log: Log, asked: Asked, begin: datetime, *, follow: bool) -> Iterator[list[LogLine]]:
    """The wanted lines since then that are new at each look; without `follow` there is one look."""
    seen = set[str]()
    while True:
        now = datetime.now(UTC)
        found = log.read(asked.functions, begin, now, log_lines.quoted(asked.text) if asked.text else "")
        yield [each for each in found if each.key not in seen and asked.wants(each)]
        if not follow:
            return
        seen |= {each.key for each in found}
        begin = max(begin, now - LATE)
        time.sleep(EVERY)


def document(each: LogLine) -> dict[str, Any]:
    """A line as JSON."""
    names = {"at": each.at.isoformat(timespec="milliseconds"), "function": each.function, "level": each.level}
    return names | {"message": each.message} | dict(each.fields)


def _print(each: LogLine, console: Console, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json_line(document(each))
        return
    at = f"{each.at:%Y-%m-%d %H:%M:%S}.{each.at.microsecond // 1000:03d}"
    level = "" if each.level == "INFO" else f"{each.level} "
    shown = Text.assemble(
        (f"{at} ", "dim"),
        f"{each.function:<8}",
        (printable(f"{level}{each.message}"), _STYLES.get(each.level, "")),
        (printable(_fields_text(each.fields)), "dim"),
    )
    line(console, shown, indent=4)


def _fields_text(fields: Mapping[str, Any]) -> str:
    shown = {**_exception(fields), **{name: value for name, value in fields.items() if name not in _OF_EXCEPTION}}
    return "".join(f"  {name}={_value(value)}" for name, value in shown.items() if value not in (None, ""))


def _exception(fields: Mapping[str, Any]) -> dict[str, str]:
    """What an exception says, and where it was raised. Its traceback, which --json has, is longer than a line."""
    trace = fields.get("stack_trace")
    if not isinstance(trace, Mapping):
        return {"error": str(fields.get("exception_name") or "")}
    said = {"error": f"{trace.get('type')}: {trace.get('value')}"}
    last = (trace.get("frames") or [{}])[-1]
    return said | {"at": f"{last['file']}:{last['line']}"} if {"file", "line"} <= set(last) else said


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
