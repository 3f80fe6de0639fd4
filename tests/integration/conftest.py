from collections.abc import Iterator

import pytest

from infra.local.paused_triggers import pause_triggers
from infra.local.stack import Stack

USED_QUEUES = ["Deliveries", "Retries", "Transitions"]


@pytest.fixture(scope="module", autouse=True)
def only_tests_invoke_functions(stack: Stack) -> Iterator[None]:
    """Pause the triggers, and remove the messages that tests leave before the triggers are resumed."""
    sqs = stack.client("sqs")
    with pause_triggers(stack):
        yield
        for queue in USED_QUEUES:
            sqs.purge_queue(QueueUrl=stack.resource(queue))
