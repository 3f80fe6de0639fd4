"""What a function returns for a batch of messages of which some must come back."""

from collections.abc import Collection
from typing import Any

from bellhop.telemetry import Telemetry


def response(identifiers: Collection[str], telemetry: Telemetry) -> dict[str, Any]:
    """The partial batch response: the ids of the messages that the queue, or the stream, is to deliver again.

    They are counted: a message comes back only by a fault of ours.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    if identifiers:
        telemetry.count("MessageReturned", len(identifiers))
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}
