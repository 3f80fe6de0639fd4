"""Who operates, and what a command hands to the code that it shares with health."""

import getpass
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection

from bellhop.clock import utc_now
from bellhop.queues import OutgoingMessage, Queue
from bellhop.replays import Replay
from bellhop.resend_jobs import ResendStep
from health import messages
from health.messages import FollowUp
from health.transitions import TransitionDependencies
from infra.cli import stack
from infra.cli.stack import Stack


class SilentTelemetry:
    """Telemetry without a log and metrics: a command prints what it did itself."""

    def info(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def warning(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def error(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def count(self, name: str, number: int = 1) -> None:
        """See Telemetry."""

    def measure(self, name: str, seconds: float) -> None:
        """See Telemetry."""


@dataclass(frozen=True, slots=True)
class TransitionsQueue:
    """The queue on which health takes its orders."""

    queue: Queue

    def send(self, message: FollowUp | Replay | ResendStep) -> None:
        """Have health do what the message says."""
        self.queue.send(OutgoingMessage(messages.encode(message)))


def operator() -> str:
    """The actor in an audit entry: "operator:" and the AWS identity of the caller, or else the local user."""
    try:
        return f"operator:{stack.caller()}"
    except (BotoCoreError, ClientError):  # the tables were readable, so the credentials are good: no STS here
        return f"operator:{_local_user()}"


def transition_dependencies(found: Stack, connection: Connection) -> TransitionDependencies:
    """What transitions need."""
    return TransitionDependencies(
        connection=connection,
        announce=transitions_queue(found).send,
        telemetry=SilentTelemetry(),
        now=utc_now,
    )


def transitions_queue(found: Stack) -> TransitionsQueue:
    """The Transitions queue of a stack."""
    return TransitionsQueue(found.queue(stack.TRANSITIONS_QUEUE))


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return "unknown"
