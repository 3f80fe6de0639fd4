"""The health function: the Outcomes stream wakes it to judge, the Transitions queue to follow up."""

import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

from bellhop import partial_batch, settings
from health import follow_up, messages, recovery, replay
from health.dependencies import HealthDependencies, Settings, build
from health.mail import mailer
from health.messages import FollowUp, MailEvent, Probe, Replay
from health.review import Scope, review

T = TypeVar("T")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for both sources; a batch is always of one of them."""
    deps = _open()
    deps.telemetry.begin(context)
    records = event["Records"]
    try:
        if records[0]["eventSource"] == "aws:dynamodb":
            return _failures(_review_stream(records, deps))
        return _failures(_each(records, _message_id, _message, lambda message: act(message, deps), deps))
    finally:
        deps.telemetry.flush()


def _review_stream(records: Iterable[dict[str, Any]], deps: HealthDependencies) -> list[str]:
    # Counters only grow, so one look at a scope does for all of the batch's records of it: the first.
    firsts: dict[Scope, dict[str, Any]] = {}
    for record in records:
        firsts.setdefault(_scope(record), record)

    def judge(scope: Scope) -> None:
        review(scope, deps.thresholds, deps.transitions)

    failed = _each(firsts.values(), _sequence_number, _scope, judge, deps)
    return failed[:1]  # a stream goes on from the first that failed; what is judged again does no harm


def act(message: messages.Message, deps: HealthDependencies) -> None:
    """Do what a message on the Transitions queue asks for."""
    match message:
        case FollowUp():
            follow_up.follow_up(message, deps.follow_up)
        case Replay():
            replay.step(message, deps.replay)
        case Probe():
            recovery.step(message, deps.probing)
        case MailEvent():
            mailer.note(message, deps.follow_up.post)


def _each(
    records: Iterable[dict[str, Any]],
    identify: Callable[[dict[str, Any]], str],
    read: Callable[[dict[str, Any]], T],
    act: Callable[[T], None],
    deps: HealthDependencies,
) -> list[str]:
    """Act on what each record says; return which must come back. Policy: a fault is one record's own."""
    failed = []
    for record in records:
        said = None
        try:
            said = read(record)
            act(said)
        except Exception:  # noqa: BLE001 - the record boundary
            names = {name: getattr(said, name) for name in ("app_id", "entry") if hasattr(said, name)}
            deps.telemetry.error("record kept", record=identify(record), **names)
            failed.append(identify(record))
    return failed


def _scope(record: dict[str, Any]) -> Scope:
    image = record["dynamodb"]["NewImage"]
    return Scope(image["app_id"]["S"], image["organization_id"]["S"], int(image["generation"]["N"]))


def _message(record: dict[str, Any]) -> messages.Message:
    return messages.decode(record["body"])


def _sequence_number(record: dict[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _message_id(record: dict[str, Any]) -> str:
    return str(record["messageId"])


def _failures(identifiers: list[str]) -> dict[str, Any]:
    return partial_batch.response(identifiers)


@cache
def _open() -> HealthDependencies:
    return build(settings.load(Settings, os.environ))


if settings.on_lambda(os.environ):  # a function starts with a whole processor and without a bill: build there
    _open()
