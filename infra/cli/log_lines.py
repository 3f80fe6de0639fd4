"""What the functions wrote to CloudWatch Logs, line by line: on AWS and on the embedded AWS by the same calls."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

GROUPS = {"notify": "NotifyLogGroup", "deliver": "DeliverLogGroup", "health": "HealthLogGroup"}
CALLS = 50  # for one log group at most; CloudWatch looks through about a mebibyte of log in each

_PLATFORM = ("START ", "END ", "INIT_START ", "EXTENSION", "XRAY ")
_OF_EVERY_LINE = ("level", "message", "timestamp", "service", "aws_request_id")
_TROUBLE = ("Status: ", "Task timed out", "errorMessage", "Traceback")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line: when it was written, by which function, how severe, what it says, and what it is about."""

    at: datetime
    function: str
    level: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""  # tells it from every other line

    @property
    def is_metrics(self) -> bool:
        """Whether it has metrics in the embedded format, and nothing to read."""
        return "_aws" in self.fields

    @property
    def is_routine(self) -> bool:
        """Whether it is a line of Lambda's own that says nothing but that a function ran."""
        return self.level == "PLATFORM"


@dataclass(frozen=True, slots=True)
class Log:
    """The functions' logs: a client of CloudWatch Logs, and the outputs of the stack."""

    client: Any
    outputs: Mapping[str, str]

    def read(self, functions: Iterable[str], since: datetime, until: datetime, pattern: str = "") -> list[LogLine]:
        """The lines of these functions, the oldest first; those that CloudWatch finds within `CALLS` for each.

        `pattern` is a filter pattern of CloudWatch Logs.
        """
        asked: dict[str, Any] = {"startTime": _milliseconds(since), "endTime": _milliseconds(until)}
        if pattern:
            asked["filterPattern"] = pattern
        lines = chain.from_iterable(self._of_function(name, asked) for name in functions)
        return sorted(lines, key=lambda line: line.at)

    def _of_function(self, function: str, asked: Mapping[str, Any]) -> Iterator[LogLine]:
        group = self.outputs[GROUPS[function]]
        pages = self.client.get_paginator("filter_log_events").paginate(logGroupName=group, **asked)
        for page in islice(pages, CALLS):
            for number, event in enumerate(page["events"]):
                yield _parsed(event, function, number)


def quoted(text: str) -> str:
    """The filter pattern of the lines that have this text: ids, without quotes in them."""
    return f'"{text}"'


def _parsed(event: Mapping[str, Any], function: str, number: int) -> LogLine:
    text = event["message"].rstrip("\n")
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    key = event.get("eventId") or f"{event.get('logStreamName')} {event['timestamp']} {number} {text}"
    with suppress(ValueError):
        document = json.loads(text)
        if isinstance(document, dict) and ("message" in document or "_aws" in document):
            fields = {name: value for name, value in document.items() if name not in _OF_EVERY_LINE}
            return LogLine(
                _written_at(document, at),
                function,
                str(document.get("level", "")),
                str(document.get("message", "")),
                fields,
                key,
            )
    routine = text.startswith((*_PLATFORM, "REPORT ")) and not any(sign in text for sign in _TROUBLE)
    return LogLine(at, function, "PLATFORM" if routine else "LAMBDA", text, key=key)


def _written_at(document: Mapping[str, Any], otherwise: datetime) -> datetime:
    # CloudWatch has the time of a line to the millisecond; the embedded AWS the end of the invocation.
    with suppress(ValueError, KeyError):
        return datetime.strptime(document["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    return otherwise


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
