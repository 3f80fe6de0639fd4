"""What this version does not know: in a deployment and after a roll-back, a newer one's messages are there.

They wait on a queue, however long, until a version that knows them is deployed again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bellhop.queues import MAX_DELAY, OutgoingMessage
from bellhop.telemetry import Telemetry

WAIT_SECONDS = MAX_DELAY  # until a waiting message is looked at again


class UnknownKindError(Exception):
    """A message, or what it names, of a kind or version that this version does not know; a newer one may."""


# A message as its queue delivered it, and what of it is not known.
Unknown = tuple[dict[str, Any], UnknownKindError]


def check_version(what: str, version: object, known: int) -> None:
    """Check that this version can read `what`, which was written in the format number `version`.

    Raises:
        UnknownKindError: a newer version wrote it.
        ValueError: no version of ours did.
    """
    number = version if type(version) is int else -1
    if number > known:
        raise UnknownKindError(f"{what} of the format {version}")
    if number != known:
        raise ValueError(f"{what} of the format {version!r}, which there never was")


def wait(
    unknown: Sequence[Unknown], send_all: Callable[[Sequence[OutgoingMessage]], set[int]], telemetry: Telemetry
) -> list[str]:
    """Have messages wait; return the ids of those that their queue must deliver again instead.

    `send_all` puts messages on a queue that the same function reads, and returns the positions of those that SQS
    did not take.

    Policy: what waits is a new message, which SQS has received never and keeps for fourteen days. So nothing is
    dead-lettered, however long the roll-back lasts. If the worker dies before the old one is done, both wait.
    """
    if not unknown:
        return []
    try:
        refused = send_all([_copy(message) for message, _ in unknown])
    except Exception:  # noqa: BLE001 - SQS did not respond: the messages come back by themselves
        telemetry.error("messages of a newer version not sent to wait: the queue will deliver them again")
        refused = set(range(len(unknown)))
    waiting = [each for number, each in enumerate(unknown) if number not in refused]
    if waiting:
        telemetry.warning(
            "messages of a newer version wait: they are looked at again every quarter of an hour",
            messages={message["messageId"]: str(reason) for message, reason in waiting},
        )
        telemetry.count("NewerVersionWaits", len(waiting))
    return [unknown[number][0]["messageId"] for number in sorted(refused)]


def _copy(received: dict[str, Any]) -> OutgoingMessage:
    attributes = received.get("messageAttributes", {}).items()
    return OutgoingMessage(
        received["body"],
        group=received["attributes"].get("MessageGroupId"),
        delay=WAIT_SECONDS,
        attributes={name: value["stringValue"] for name, value in attributes if "stringValue" in value},
    )
