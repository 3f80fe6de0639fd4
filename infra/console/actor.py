"""Who is operating, and what the console brings to the code it shares with the functions."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection

from health import messages
from health.messages import FollowUp, Replay
from health.transitions import TransitionDependencies
from infra.console import stack
from infra.console.stack import Stack


class Quiet:
    """Telemetry that says nothing: a command prints what it did itself."""

    def info(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def warning(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def error(self, message: str, **fields: Any) -> None:
        """See Telemetry."""

    def count(self, name: str, number: int = 1) -> None:
        """See Telemetry."""


def name() -> str:
    """The actor that an audit entry names: "operator:" and the caller's identity, or else the local user."""
    try:
        return f"operator:{stack.caller()}"
    except (BotoCoreError, ClientError):  # the tables respond, so credentials are good: some places have no STS
        return f"operator:{_local_user()}"


def deps(found: Stack, connection: Connection) -> TransitionDependencies:
    """What transitions work with."""
    return TransitionDependencies(connection, announcer(found), Quiet(), lambda: datetime.now(UTC))


def announcer(found: Stack) -> Callable[[FollowUp | Replay], None]:
    """Puts messages on the stack's Transitions queue."""
    sqs, url = stack.sqs(), found.outputs[stack.TRANSITIONS_QUEUE]

    def announce(message: FollowUp | Replay) -> None:
        sqs.send_message(QueueUrl=url, MessageBody=messages.encode(message))

    return announce


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return "unknown"
