"""A deliver function with its effects in memory: an endpoint that answers as told, a clock, what came of it."""

from datetime import datetime, timedelta
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

from bellhop import attempts
from bellhop.attempts import DeliveryRecord
from bellhop.bus import BusError
from bellhop.outcomes import OutcomeDay
from deliver.batch import process
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response, SendFailure
from deliver.posting import Workers
from tests.support.fakes import NOW, delivery, sqs_record

TIMEOUT = SendFailure("timeout", "no answer")


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status, headers, body)


class Endpoint:
    """Answers in turn, the last one for ever; remembers what was posted."""

    def __init__(self, *answers: Response | SendFailure) -> None:
        self.answers = list(answers)
        self.posted: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Response | SendFailure:
        self.posted.append((url, headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Announced:
    """A bus that remembers what was published, once it takes it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.down = False

    def __call__(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        if self.down:
            raise BusError("the bus does not respond")
        self.events.append((kind, event_id, detail))


def run(
    deps: DeliverDependencies, endpoint: Endpoint, *records: dict[str, Any], time_left: bool = True, slots: int = 4
) -> list[str]:
    return process(records, deps, Workers(slots, endpoint, lambda: time_left, lambda _: None))


def retries(url: str) -> list[dict[str, Any]]:
    """What waits on the Retries queue, delayed or not, as records; taken off it."""
    backend = sqs_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].queues[url.rpartition("/")[2]]
    found = [sqs_record(message.body, message.id) for message in backend._messages]
    backend._messages.clear()
    return found


def record(delivery_id: str = delivery().delivery_id) -> DeliveryRecord:
    found = attempts.load(delivery_id)
    assert found
    return found


def counters() -> dict[str, int]:
    rows = list(OutcomeDay.scan())
    return {n: sum(int(getattr(r, n)) for r in rows) for n in ("success", "error", "timeout", "fatal")}
