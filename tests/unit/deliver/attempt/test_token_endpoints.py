"""Token endpoints that fail, or are not reached; and what is kept of what repeats a token. Real sockets."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace

import pytest

from bellhop import circuits, pings
from bellhop.registry import App
from deliver.attempt.access_tokens import AccessTokens
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies, Webhook
from deliver.http.faults import OurFaultError
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support.endpoint import NOTHING, Apps, Clock, counters, record, recorded, response, run
from tests.support.fakes import app, delivery, queue_message
from tests.support.oauth2 import (
    CLIENT_SECRET,
    TOKEN,
    Function,
    Guarded,
    Login,
    Spoken,
    batch,
    grant,
    granted,
    http,
    keys,
    row,
    serving,
)
from tests.support.servers import Behaviour, drips, responds_with, silent

LONG = json.dumps({"access_token": "t" * 20, "token_type": "Bearer", "padding": "x" * 1_000_000}).encode()


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        pytest.param(silent, "timeout: ", id="hangs"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b"{"), "timeout: ", id="drips a body"
        ),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), "timeout: ", id="drips headers"),
        pytest.param(responds_with(b""), "connection_error: ", id="closes"),
        pytest.param(responds_with(b"SSH-2.0\r\n\r\n"), "invalid_response: ", id="is no web server"),
        pytest.param(responds_with(http(302, b"", "Location: /")), "http_302: without a body", id="redirects"),
        pytest.param(responds_with(http(500, b"down\nfor now")), "http_500: down for now", id="is down"),
        pytest.param(responds_with(http(429, b"slower")), "http_429: slower", id="is busy"),
        pytest.param(responds_with(http(204)), "its response is no JSON object", id="says nothing"),
        pytest.param(responds_with(http(200, LONG)), "its response is longer than 16,384 bytes", id="sends 1 MB"),
        pytest.param(
            responds_with(granted("a-token\r\nHost: evil")),
            "its response has an access_token with characters that",
            id="breaks lines",
        ),
    ],
)
def test_a_failing_token_endpoint_fails_the_attempt_in_time_and_nothing_is_posted(
    deps: DeliverDependencies, transport: Transport, behave: Behaviour, expected: str
) -> None:
    endpoint = Guarded()
    with serving(behave, endpoint) as (token_server, server):
        assert Function(deps, transport, server.url, token_server.url).run(*batch(2), deadline=0.6) == []
        transport.close()
    assert endpoint.tokens == []
    assert (row()["result"], row().get("status")) == ("token_error", None)
    assert row()["response"].startswith("token endpoint: " + expected)
    assert record("msg_pager0").state == "retrying"
    assert counters() == NOTHING | {"error": 2}
    assert int(circuits.load("pager").strikes or 0) >= 2
    assert "OurFault" not in recorded(deps).counts


def test_a_token_endpoint_at_an_address_that_is_not_allowed_is_never_called_and_stops_the_delivery(
    deps: DeliverDependencies,
) -> None:
    login, endpoint = Login(), Guarded()
    with (
        closing(Transport(EndpointPolicy(http=True, private=False, ports=None), tls_context())) as guarded,
        serving(login, endpoint) as (token_server, server),
    ):
        assert Function(deps, guarded, server.url, token_server.url).run(*batch(1)) == []
    assert (login.requests, endpoint.tokens) == ([], [])
    assert (row()["result"], record("msg_pager0").state) == ("token_error", "stopped")
    assert "is not a public address" in row()["response"]
    assert not circuits.load("pager").strikes


def test_an_unknown_token_endpoint_is_the_endpoints_fault(deps: DeliverDependencies, transport: Transport) -> None:
    function = Function(deps, transport, "https://hooks.invalid/", "https://no-such-login.invalid/token")
    assert function.run(*batch(1)) == []
    assert row()["response"].startswith("token endpoint: dns_error: ")


def test_a_fault_of_ours_while_a_token_is_asked_for_stays_ours_for_all_that_wait(
    deps: DeliverDependencies, queue: str
) -> None:
    def respond(url: str, headers: Mapping[str, str]) -> Response:
        raise OurFaultError("OSError: [Errno 24] Too many open files")

    function = Function(deps, Spoken(respond), "https://hooks.example/", "https://login.example/token")
    assert function.run(*batch(3)) == []
    assert counters() == NOTHING
    assert recorded(deps).counts["OurFault"] == 3
    assert record("msg_pager0").attempts_made == 0


def fleet(deps: DeliverDependencies, transport: Spoken, token_url: str) -> Callable[..., None]:
    """Six apps at six sites, each with a token endpoint at `token_url`, in which {} is the app."""

    class OfEach:
        def keys(self, app: App) -> Keys:
            return keys(token_url.format(app.app_id))

    assert isinstance(deps.registry, Apps)
    names = [f"app{n}" for n in range(6)]
    for name in names:
        deps.registry.apps[name] = app(name, url=f"https://{name}.example/")  # type: ignore[index]

    def send(prefix: str) -> None:
        made = [delivery(delivery_id=f"{prefix}_{name}", app_id=name) for name in names]
        run(replace(deps, secrets=OfEach()), transport, *(queue_message(each, each.delivery_id) for each in made))

    return send


class Nowhere:
    """Endpoints that respond until they are `down`, and whose tokens never last."""

    def __init__(self, *, down: bool = False) -> None:
        self.down = down

    def __call__(self, url: str, headers: Mapping[str, str]) -> Response | SendFailure:
        if self.down:
            return SendFailure("timeout", "no response")
        return response(200, grant(TOKEN, expires_in=0))


def go_down(deps: DeliverDependencies, token_url: str) -> None:
    """Have a fleet send twice: while all respond, and when none does any more."""
    spoken = Nowhere()
    send = fleet(deps, Spoken(spoken), token_url)
    send("well")
    spoken.down = True
    send("down")


def test_token_endpoints_that_nobody_reaches_are_our_network_as_endpoints_are(deps: DeliverDependencies) -> None:
    go_down(deps, "https://{}.example/token")
    assert counters() == NOTHING | {"success": 6}
    assert recorded(deps).counts["OurFault"] == 6


def test_one_login_that_is_down_for_many_apps_was_taken_for_our_network(deps: DeliverDependencies) -> None:
    go_down(deps, "https://login.shared.test/{}")
    assert counters() == NOTHING | {"success": 6, "error": 6}
    assert "OurFault" not in recorded(deps).counts


def test_endpoints_that_hung_were_taken_for_our_network_though_their_token_endpoints_had_just_responded(
    deps: DeliverDependencies,
) -> None:
    spoken, hung = Nowhere(), Nowhere(down=True)
    send = fleet(deps, Spoken(spoken), "https://login.{}.test/token")
    send("well")
    send = fleet(
        deps,
        Spoken(lambda url, headers: (spoken if "login" in url else hung)(url, headers)),
        "https://login.{}.test/token",
    )
    send("hung")
    assert counters() == NOTHING | {"success": 6, "timeout": 6}
    assert "OurFault" not in recorded(deps).counts
    assert circuits.slow_list().outage_until is None


def test_a_token_that_was_asked_for_before_says_nothing_of_our_network_now(deps: DeliverDependencies) -> None:
    tokens, up = AccessTokens(deps.time), Spoken(lambda *_: response(200, grant(TOKEN)))
    made = [tokens.post(up, app(), keys("https://login.example/"), Webhook({}, b""), 5) for _ in range(2)]
    urls = [[each.url for each in sent.requests] for sent in made]
    assert urls == [["https://login.example/", app().url], [app().url]]


ECHO = f"You sent Bearer {TOKEN} of {CLIENT_SECRET}"


def echoing(status: int) -> Behaviour:
    return responds_with(http(status, ECHO.encode() * 90, f"Retry-After: {TOKEN}", f"X-Echo: {CLIENT_SECRET}"))


def secrets_in(text: str) -> list[str]:
    return [each for each in (TOKEN, CLIENT_SECRET) if each in text]


def test_what_repeats_the_token_or_the_clients_secret_is_masked_in_all_that_is_kept(
    deps: DeliverDependencies, transport: Transport
) -> None:
    with serving(Login(), echoing(500)) as (token_server, server):
        assert Function(deps, transport, server.url, token_server.url).run(*batch(1)) == []
    kept = repr(record("msg_pager0").attribute_values)
    assert (row()["result"], row()["headers"]) == ("http_500", {"Retry-After": "****"})
    assert row()["response"].startswith("You sent Bearer **** of ****")
    assert secrets_in(kept + recorded(deps).everything()) == []


def test_of_a_ping_too(deps: DeliverDependencies, transport: Transport, clock: Clock) -> None:
    with serving(Login(), echoing(200)) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        ping = pings.make(function.apps["pager"], "1", clock())
        assert function.run(queue_message(ping)) == []
    made = row(ping.delivery_id)
    assert (made["result"], made["headers"]["X-Echo"]) == ("http_200", "****")
    assert secrets_in(repr(made) + recorded(deps).everything()) == []


def test_a_ping_gets_a_new_token_which_is_kept(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    login, endpoint = Login(), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        for message in (*batch(1), queue_message(pings.make(function.apps["pager"], "1", clock())), *batch(2)[1:]):
            assert function.run(message) == []
        transport.close()
    assert endpoint.tokens == [TOKEN, "token-number-2", "token-number-2"]


def test_a_ping_that_gets_no_token_takes_none_from_the_webhooks(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    login, endpoint = Login([granted(TOKEN), http(401)]), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        ping = pings.make(function.apps["pager"], "1", clock())
        for message in (*batch(1), queue_message(ping), *batch(2)[1:]):
            assert function.run(message) == []
        transport.close()
    assert (row(ping.delivery_id)["result"], endpoint.tokens) == ("token_error", [TOKEN, TOKEN])


def test_a_ping_says_what_the_token_endpoint_said(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    echo = f'{{"error":"invalid_client {CLIENT_SECRET}"}}'.encode()
    with serving(responds_with(http(401, echo)), Guarded()) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        ping = pings.make(function.apps["pager"], "1", clock())
        function.run(queue_message(ping))
    made, said = row(ping.delivery_id), 'token endpoint: http_401: {"error":"invalid_client ****"}'
    assert (record(ping.delivery_id).state, made["result"], made["response"]) == ("stopped", "token_error", said)
