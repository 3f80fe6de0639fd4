"""bellhop ping: deliver posts a ping like any other delivery; its response is awaited and shown."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import typer
from rich.console import Console

from bellhop import attempts, deliveries, long_responses, pings
from bellhop.attempts import DELIVERED, RETRYING, DeliveryRecord
from bellhop.clock import utc_now
from bellhop.deliveries import Delivery
from bellhop.queues import OutgoingMessage, Queue
from bellhop.registry import App, find
from bellhop.secrets import ED25519, HMAC, SigningSecret, signature_of
from health.mail.wording import counted, error
from infra.cli import stack, terminal
from infra.cli.attempt_text import not_posted_text
from infra.cli.errors import CommandError
from infra.cli.stack import Stack
from infra.cli.terminal import labelled, line
from infra.cli.text import stored_time
from infra.cli.views import APPLY_MAKES_ONE, load_app, token_url_of

GRACE_SECONDS = 30.0  # beside the deadline: for the queue, a cold start and the deliveries ahead
LONGEST_WAIT = timedelta(days=1)

_FIRST_POLL, _SLOWEST_POLL, _SLOWER = 0.5, 3.0, 1.5  # seconds between two reads of the record, and their growth
_BODY_LINES = 40  # of a response that are shown

_HINTS = {
    "timeout": "respond first and do the work afterwards; nothing may take longer than DeliveryDeadlineSeconds",
    "dns_error": "mend its name, or the app's url in the registry file",
    "tls_error": "its certificate must be valid for the name, in date, with every intermediate sent along",
    "connection_error": "is it up, and does it let the internet in?",
    "invalid_response": "is it a web server, and https where the url says so?",
    "invalid_header": "mend the header of the app that is named above, in the registry file, and apply",
    "invalid_url": "mend the app's url in the registry file and apply",
    "token_error": "it says why above; mend oauth2 in the registry file and apply, or the token endpoint",
    "address_not_allowed": "its name must resolve to public addresses only, its port be one of AllowedPorts",
}
_STATUS_HINTS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "there is nothing at this url; mend it in the registry file and apply",
    HTTPStatus.METHOD_NOT_ALLOWED: "it takes no POST at this url; mend it in the registry file and apply",
    HTTPStatus.GONE: "it says that it is gone for good: an internal app is switched off at once",
    HTTPStatus.TOO_MANY_REQUESTS: "it is busy, which counts for nothing; max_per_second helps",
}
_CLASS_HINTS = {
    3: "redirects are never followed; register the url that it leads to",
    4: "the body of its response may say why",
    5: "it failed by itself, so its own log says why",
}


_SECRETS = {
    HMAC: "does it verify with this app's secret",
    ED25519: "does it verify with this app's public key, which bellhop app shows",
}
_TOKENS = "does it take this token, which has the scope and audience of oauth2 in the registry file"


@dataclass(frozen=True, slots=True)
class PingResult:
    """What a ping ended with.

    `body` is that of the response, as far as it is kept, or why there was none; then `status` is None.
    `signature`: how the app's webhooks are signed. `token_url`: where its access tokens are from, if it has any.
    """

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
    signature: str = HMAC
    token_url: str | None = None

    @property
    def not_posted(self) -> str:
        """Why nothing was posted; empty where something was."""
        return not_posted_text(self.result, self.token_url)

    @property
    def meaning(self) -> str:
        """What it means, in a sentence."""
        if _asks_to_be_disabled(self.headers):
            return "It is not well. It sends the header webhook-delivery: disable, which switches an app off."
        if self.well:
            return "It is well: it took the webhook."
        hint = self._hint()
        return f"It is not well. {error(self.result)}: {hint}{'' if hint.endswith('?') else '.'}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        told = {"headers": dict(self.headers), "not_posted": self.not_posted or None, "meaning": self.meaning}
        return asdict(self) | told

    def _hint(self) -> str:
        status = self.status or 0
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return self._refused_hint()
        found = _HINTS.get(self.result) or _STATUS_HINTS.get(status) or _CLASS_HINTS.get(status // 100)
        return found or "nothing else is known of it"

    def _refused_hint(self) -> str:
        """What to look at where the endpoint does not know who asks."""
        asked = [_TOKENS] if self.token_url else []
        asked.append(_SECRETS[self.signature])
        if self.status == HTTPStatus.FORBIDDEN:
            asked.append("is there a firewall in front of it")
        return f"{', '.join(asked)}?"


def run(stack_name: str, app_id: str, *, wait: str | None, as_json: bool) -> None:
    """Ping, show the response, exit with 1 when it is not well."""
    found = stack.find(stack_name)
    stack.bind(found)
    result = ping(found, load_app(app_id), wait)
    if as_json:
        terminal.print_json(result.document())
    else:
        print_result(result, terminal.console())
    if not result.well:
        raise typer.Exit(1)


def ping(found: Stack, app: App, wait: str | None) -> PingResult:
    """Ping an app of that stack; `wait` is how long to wait, as typed.

    Raises:
        CommandError: it has no signing secret, or like `await_result`.
    """
    row = _signing_secret(app)
    if wait:
        seconds = terminal.read_duration("--wait", wait, LONGEST_WAIT).total_seconds()
    else:
        seconds = found.deadline_seconds + GRACE_SECONDS
    sent = send(app, uuid.uuid4().hex, found.queue(stack.DELIVERIES_QUEUE))
    result = await_result(app, sent, seconds, sleep=time.sleep, clock=time.monotonic)
    return replace(result, signature=signature_of(row.secret), token_url=token_url_of(row))


def send(app: App, token: str, queue: Queue) -> Delivery:
    """Put a ping on the Deliveries queue; `token` makes it another than the last."""
    delivery = pings.make(app, token, utc_now())
    queue.send(OutgoingMessage(deliveries.encode(delivery), delivery.app_id))
    return delivery


def await_result(
    app: App,
    sent: Delivery,
    seconds: float,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> PingResult:
    """Wait up to `seconds` for the result of a ping.

    Raises:
        CommandError: deliver has not made it in time, which is no fault of the endpoint.
    """
    end, pause = clock() + seconds, _FIRST_POLL
    while True:
        record = attempts.load(sent.delivery_id)
        if record and record.state != RETRYING and record.attempts:
            return _result(app, record)
        left = end - clock()
        if left <= 0:
            raise _not_made(app, sent, seconds)
        sleep(min(pause, left))
        pause = min(_SLOWEST_POLL, pause * _SLOWER)


def print_result(result: PingResult, console: Console) -> None:
    """Print a ping's result in full."""
    style = "green" if result.well else "red"
    what = (
        f"nothing was posted to {result.url}: {result.not_posted}" if result.not_posted else f"pinged {result.url}"
    )
    line(console, f"{result.app_id}: {what}", "bold")
    if result.token_url and not result.not_posted:
        labelled(console, "token", f"a new one, from {result.token_url}")
    status = "" if result.status is None else f" (status {result.status})"
    labelled(console, "result", f"{result.result}{status}", style)
    labelled(console, "time", f"{result.milliseconds:,} ms, at {stored_time(result.at)}")
    for number, (name, value) in enumerate(result.headers.items()):
        labelled(console, "" if number else "headers", f"{name}: {value}")
    _print_body(result, console)
    line(console, result.meaning, style)


def _result(app: App, record: DeliveryRecord) -> PingResult:
    row = long_responses.rows(record)[-1]
    status, headers = row.get("status"), dict(row.get("headers") or {})
    return PingResult(
        app_id=app.app_id,
        url=app.url,
        delivery_id=record.delivery_id,
        well=record.state == DELIVERED and not _asks_to_be_disabled(headers),
        result=row["result"],
        status=int(status) if status else None,
        milliseconds=int(row["ms"]),
        at=row["at"],
        headers=headers,
        body=row.get("response", ""),
    )


def _signing_secret(app: App) -> SigningSecret:
    row = find(SigningSecret, app.app_id, consistent=True)
    if row is None:
        raise CommandError(f"{app.app_id} has no signing secret, so nothing is posted: {APPLY_MAKES_ONE}")
    return row


def _asks_to_be_disabled(headers: Mapping[str, str]) -> bool:
    """Whether a response has the header that switches an app off, which is obeyed on any status."""
    control = {name.lower(): value for name, value in headers.items()}.get("webhook-delivery", "")
    return control.strip().lower() == "disable"


def _not_made(app: App, sent: Delivery, seconds: float) -> CommandError:
    return CommandError(
        f"no record of the ping of {app.app_id} within {seconds:g} s: deliver has not made it, which says nothing "
        "about the endpoint. Look at the age of the oldest message on the Deliveries queue (`bellhop status`), "
        f"and at deliver's log (`bellhop tail --text {sent.delivery_id}`); or wait longer with --wait 5m"
    )


def _print_body(result: PingResult, console: Console) -> None:
    responded = result.status is not None
    lines = result.body.splitlines() or (["(empty)"] if responded else [])
    for number, text in enumerate(lines[:_BODY_LINES]):
        labelled(console, "" if number else "body" if responded else "reason", text)
    if len(lines) > _BODY_LINES:
        labelled(console, "", f"... and {counted(len(lines) - _BODY_LINES, 'more line')}: --json has all")
