"""The health function: the Outcomes stream wakes it to review apps, the Transitions queue to do what follows."""

import os
from functools import cache
from typing import Any

from bellhop import aws, newer, partial_batch, settings
from bellhop.budget import Budget
from bellhop.newer import Unknown, UnknownKindError
from bellhop.powertools import PowertoolsTelemetry
from bellhop.replays import Replay
from bellhop.resend_jobs import ResendStep
from health import follow_up, messages, recovery, replay, resend
from health.dependencies import HealthDependencies, Settings, build
from health.mail import mailer
from health.messages import AppSweep, FollowUp, MailEvent, RecoveryCheck, RetrySweep
from health.review import Scope, review
from health.sweep import apps, retries


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for both event sources; a batch always comes from one of them."""
    deps, telemetry, budget = _open()
    telemetry.begin(context)
    batch = event["Records"]
    try:
        from_stream = batch[0]["eventSource"] == "aws:dynamodb"
        with budget.invocation(context.get_remaining_time_in_millis):
            failed = _from_stream(batch, deps) if from_stream else from_queue(batch, deps)
            return partial_batch.response(failed, telemetry)
    finally:
        telemetry.flush()


def handle(message: messages.Message, deps: HealthDependencies) -> None:
    """Do what a message on the Transitions queue asks for."""
    match message:
        case FollowUp():
            follow_up.follow_up(message, deps)
        case Replay():
            replay.step(message, deps)
        case ResendStep():
            resend.step(message, deps)
        case RecoveryCheck():
            recovery.step(message, deps)
        case RetrySweep():
            retries.step(message, deps)
        case AppSweep():
            apps.step(message, deps)
        case MailEvent():
            mailer.record_event(message, deps)


def _from_stream(changes: list[dict[str, Any]], deps: HealthDependencies) -> list[str]:
    """Review each scope whose counters changed; return the change that the stream must go on from, if any.

    Counters only grow, so one review covers all of a scope's changes in the batch. Policy: one scope's failure
    does not stop the others; the stream delivers again from the first change that failed, and a second review does
    no harm.
    """
    failed: list[str] = []
    reviewed: set[Scope] = set()
    for change in changes:
        scope = None
        try:
            scope = _scope(change)
            if scope not in reviewed:
                reviewed.add(scope)
                review(scope, deps.thresholds, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            failed.append(change["dynamodb"]["SequenceNumber"])
            names = {"app_id": scope.app_id} if scope else {}
            deps.telemetry.error(
                "review failed: it will be retried by the stream", sequence_number=failed[-1], **names
            )
    return failed[:1]


def from_queue(batch: list[dict[str, Any]], deps: HealthDependencies) -> list[str]:
    """Handle each message; return the ids of those that failed. Policy: the queue delivers these again.

    What only a newer version can handle waits for one.
    """
    failed: list[str] = []
    unknown: list[Unknown] = []
    for queue_message in batch:
        message = None
        try:
            message = messages.decode(queue_message["body"])
            handle(message, deps)
        except UnknownKindError as error:
            unknown.append((queue_message, error))
        except Exception:  # noqa: BLE001 - the record boundary
            failed.append(queue_message["messageId"])
            names = {n: getattr(message, n) for n in ("app_id", "transition_id") if hasattr(message, n)}
            deps.telemetry.error(
                "message not handled: it will be retried by the queue", message_id=failed[-1], **names
            )
    return failed + newer.wait(unknown, deps.wait, deps.telemetry)


def _scope(change: dict[str, Any]) -> Scope:
    image = change["dynamodb"]["NewImage"]
    return Scope(image["app_id"]["S"], image["organization_id"]["S"], int(image["generation"]["N"]))


@cache
def _open() -> tuple[HealthDependencies, PowertoolsTelemetry, Budget]:
    budget = Budget.watching(aws.core())  # before the first client is made, so that it watches them all
    telemetry = PowertoolsTelemetry()
    return build(settings.load(Settings, os.environ), telemetry, budget), telemetry, budget


if settings.on_lambda(os.environ):  # initialisation has a whole processor and is not billed: build there
    _open()
