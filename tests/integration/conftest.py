from collections.abc import Iterator

import pytest

from infra.local.paused_triggers import standing_still
from infra.local.stack import Stack

WORKED_OFF = ["Deliveries", "Retries", "Transitions"]


@pytest.fixture(scope="module", autouse=True)
def alone(stack: Stack) -> Iterator[None]:
    """Nothing wakes a function but the test; nothing that tests leave behind wakes one afterwards."""
    sqs = stack.client("sqs")
    with standing_still(stack):
        yield
        for queue in WORKED_OFF:
            sqs.purge_queue(QueueUrl=stack.resource(queue))
