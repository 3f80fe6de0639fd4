"""What a function returns for a batch of messages of which some must come back."""

from collections.abc import Iterable
from typing import Any


def response(identifiers: Iterable[str]) -> dict[str, Any]:
    """The partial batch response: the ids of the messages that the queue, or the stream, is to deliver again.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}
