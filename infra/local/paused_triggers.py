"""A stack whose functions do nothing by themselves, so that every effect seen is of the one that was invoked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.local.stack import Stack

FUNCTIONS = {"notify": "NotifyFunction", "deliver": "DeliverFunction", "health": "HealthFunction"}


@contextmanager
def standing_still(stack: Stack) -> Iterator[None]:
    """Let neither queue nor stream wake a function for the length of the block."""
    _may_wake(stack, enabled=False)
    try:
        yield
    finally:
        _may_wake(stack, enabled=True)


def waiting(stack: Stack, queue: str) -> list[dict[str, Any]]:
    """What a queue holds, delayed and in flight too, the oldest first; nothing is taken from it."""
    accounts = stack.aws.look(f"sqs/messages?QueueUrl={stack.resource(queue)}")["messages"].values()
    queues = [messages for regions in accounts for region in regions.values() for messages in region.values()]
    return [message for messages in queues for message in messages]


def _may_wake(stack: Stack, *, enabled: bool) -> None:
    functions = stack.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)
