"""A stack whose queues and streams invoke no function, so that every effect comes from the caller's own call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.local.stack import Stack

FUNCTIONS = {"notify": "NotifyFunction", "deliver": "DeliverFunction", "health": "HealthFunction"}


@contextmanager
def pause_triggers(stack: Stack) -> Iterator[None]:
    """Let no queue and no stream invoke a function for the length of the block."""
    _set_triggers(stack, enabled=False)
    try:
        yield
    finally:
        _set_triggers(stack, enabled=True)


def messages_in(stack: Stack, queue: str) -> list[dict[str, Any]]:
    """All messages of a queue, delayed and in flight too, the oldest first. They stay in the queue."""
    accounts = stack.aws.inspect(f"sqs/messages?QueueUrl={stack.resource(queue)}")["messages"].values()
    queues = [messages for regions in accounts for region in regions.values() for messages in region.values()]
    return [message for messages in queues for message in messages]


def _set_triggers(stack: Stack, *, enabled: bool) -> None:
    functions = stack.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)
