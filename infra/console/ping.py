"""Pinging an app: a delivery that deliver makes like any other, whose answer is waited for and shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bellhop import attempts, pings
from bellhop.attempts import DELIVERED, RETRYING, DeliveryRecord
from bellhop.deliveries import Delivery
from bellhop.registry import App
from health.mail.wording import error
from infra.console.errors import ConsoleError

GRACE = 30.0  # seconds beside the deadline: for the queue, a cold start and what is ahead of it

_FIRST_LOOK, _LONGEST_LOOK, _SLOWER = 0.5, 3.0, 1.5  # seconds between two looks

_HINTS = {
    "timeout": "make it answer at once and work afterwards; nothing may take longer than DeliveryDeadlineSeconds",
    "dns_error": "mend its name, or the app's url in the registry file",
    "tls_error": "its certificate must be valid for the name, in date, with every intermediate sent along",
    "connection_error": "is it up, and does it let the internet in?",
    "invalid_response": "is it a web server, and https where the url says so?",
    "address_not_allowed": "its name must resolve to public addresses only, its port be one of AllowedPorts",
}
_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "does it verify with this app's secret? bellhop rotate-secret makes another",
    HTTPStatus.FORBIDDEN: "does it verify with this app's secret, is there a firewall in front of it?",
    HTTPStatus.NOT_FOUND: "there is nothing at this url; mend it in the registry file and apply",
    HTTPStatus.METHOD_NOT_ALLOWED: "it takes no POST at this url; mend it in the registry file and apply",
    HTTPStatus.GONE: "it says that it is gone for good: an internal app is switched off at once",
    HTTPStatus.TOO_MANY_REQUESTS: "it is busy, which counts for nothing; max_per_second helps",
}
_CLASS_HINTS = {
    3: "redirects are never followed; register the url that it leads to",
    4: "the body of its answer may say why",
    5: "it failed by itself, so its own log says why",
}


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; `body` is the first KiB of it, or why there was none. `status` None: no answer."""

    app_id: str
    url: str
    delivery_id: str
    well: bool
    result: str
    status: int | None
    milliseconds: int
    at: str
    headers: Mapping[str, str]
    body: str

    @property
    def asks_to_be_off(self) -> bool:
        """Whether it sends the header that switches an app off, which is obeyed on any status."""
        return _asks_to_be_off(self.headers)

    @property
    def meaning(self) -> str:
        """What it means, in a sentence."""
        if self.asks_to_be_off:
            return "It is not well. It sends the header webhook-delivery: disable, which switches an app off."
        if self.well:
            return "It is well: it took the webhook."
        return f"It is not well. {error(self.result)}: {self._hint()}."

    def _hint(self) -> str:
        status = self.status or 0
        found = _HINTS.get(self.result) or _STATUS_HINTS.get(status) or _CLASS_HINTS.get(status // 100)
        return found or "nothing else is known of it"


def ask(
    app: App,
    token: str,
    send: Callable[[Delivery], None],
    *,
    wait: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Response:
    """Have deliver ping the app, and wait up to `wait` seconds for the response.

    Raises:
        ConsoleError: there was no answer in time, which is no fault of the endpoint.
    """
    ping = pings.make(app, token)
    send(ping)
    until, pause = clock() + wait, _FIRST_LOOK
    while True:
        record = attempts.load(ping.delivery_id)
        if record and record.state != RETRYING and record.attempts:
            return _answer(app, record)
        left = until - clock()
        if left <= 0:
            raise _unanswered(app, ping, wait)
        sleep(min(pause, left))
        pause = min(_LONGEST_LOOK, pause * _SLOWER)


def _answer(app: App, record: DeliveryRecord) -> Response:
    row: dict[str, Any] = dict(record.attempts[-1])
    status, headers = row.get("status"), dict(row.get("headers") or {})
    return Response(
        app_id=app.app_id,
        url=app.url,
        delivery_id=record.delivery_id,
        well=record.state == DELIVERED and not _asks_to_be_off(headers),
        result=row["result"],
        status=int(status) if status else None,
        milliseconds=int(row["ms"]),
        at=row["at"],
        headers=headers,
        body=row.get("response", ""),
    )


def _asks_to_be_off(headers: Mapping[str, str]) -> bool:
    control = {name.lower(): value for name, value in headers.items()}.get("webhook-delivery", "")
    return control.strip().lower() == "disable"


def _unanswered(app: App, ping: Delivery, wait: float) -> ConsoleError:
    return ConsoleError(
        f"no record of the ping of {app.app_id} within {wait:g} s: deliver has not made it, which says nothing of "
        "the endpoint. Look at the age of the oldest message on the Deliveries queue, and in deliver's log for "
        f'delivery_id = "{ping.delivery_id}"; or wait longer with --wait 5m'
    )
