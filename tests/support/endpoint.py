"""What deliver's unit tests share: an endpoint, a clock and a bus in memory, and views of what deliver wrote."""

from datetime import datetime, timedelta
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

from bellhop import attempts
from bellhop.attempts import DeliveryRecord
from bellhop.bus import BusError
from bellhop.outcomes import OutcomeDay
from deliver.batch import process
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response, SendFailure
from deliver.posting import Workers
from tests.support.fakes import NOW, delivery, queue_message

TIMEOUT = SendFailure("timeout", "no response")


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    """A response with this status."""
    return Response(status, headers, body)


class Endpoint:
    """An endpoint that gives each of its results once and then the last one for ever. It records every request."""

    def __init__(self, *responses: Response | SendFailure) -> None:
        self.responses = list(responses)
        self.posted: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Response | SendFailure:
        self.posted.append((url, headers, body))
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]

    @property
    def answers(self) -> list[Response | SendFailure]:
        return self.responses

    @answers.setter
    def answers(self, responses: list[Response | SendFailure]) -> None:
        self.responses = responses


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeBus:
    """An event bus that records what is published, and fails while it is `down`."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.down = False

    def __call__(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        if self.down:
            raise BusError("the bus does not respond")
        self.events.append((kind, event_id, detail))


def run(
    deps: DeliverDependencies,
    endpoint: Endpoint,
    *messages: dict[str, Any],
    time_left: bool = True,
    slots: int = 4,
) -> list[str]:
    """Have deliver process a batch; return the ids of the messages that it gives back to the queue."""
    return process(messages, deps, Workers(slots, endpoint, lambda: time_left, lambda _: None))


def retries(url: str) -> list[dict[str, Any]]:
    """Take all messages from the Retries queue, delayed or not, as deliver would receive them."""
    backend = sqs_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].queues[url.rpartition("/")[2]]
    found = [queue_message(message.body, message.id) for message in backend._messages]
    backend._messages.clear()
    return found


def record(delivery_id: str = delivery().delivery_id) -> DeliveryRecord:
    """The delivery record, which must exist."""
    found = attempts.load(delivery_id)
    assert found
    return found


def counters() -> dict[str, int]:
    """The outcome counters, summed over all apps and days."""
    rows = list(OutcomeDay.scan())
    return {n: sum(int(getattr(r, n)) for r in rows) for n in ("success", "error", "timeout", "fatal")}


Announced = FakeBus
