"""The tokens of a process: which attempts share one, and until when. Real sockets."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deliver.attempt.access_tokens import REFUSED_SECONDS, AccessTokens
from deliver.dependencies import DeliverDependencies, Sent, Webhook
from deliver.http.hub import Hub
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.endpoint import NOTHING, Clock, Secrets, counters, record, response, retries
from tests.support.fakes import app, delivery, queue_message
from tests.support.oauth2 import (
    OPEN,
    TOKEN,
    Function,
    Guarded,
    Login,
    Spoken,
    batch,
    grant,
    granted,
    keys,
    row,
    serving,
)
from tests.support.servers import serve, silent


def test_a_webhook_has_the_token_that_the_token_endpoint_gave(
    deps: DeliverDependencies, transport: Transport
) -> None:
    login, endpoint = Login(), Guarded()
    with serving(login, endpoint) as (token_server, server):
        assert Function(deps, transport, server.url, token_server.url).run(*batch(1)) == []
        transport.close()
    [asked] = login.requests
    assert asked.form == {"grant_type": "client_credentials"}
    assert asked.headers["authorization"].startswith("Basic ")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert endpoint.tokens == [TOKEN]
    assert counters() == NOTHING | {"success": 1}


def test_a_token_comes_over_tls_as_webhooks_go(deps: DeliverDependencies, tmp_path: Path) -> None:
    context, authority = servers.certificates()
    (tmp_path / "ca.pem").write_text(authority)
    endpoint = Guarded()
    with (
        closing(Transport(OPEN, tls_context(str(tmp_path / "ca.pem")))) as transport,
        serve(Login(), context) as token_server,
        serve(endpoint, context) as server,
    ):
        assert Function(deps, transport, server.url, token_server.url).run(*batch(1)) == []
        transport.close()
    assert endpoint.tokens == [TOKEN]


def test_attempts_of_a_batch_ask_for_one_token_together_and_later_batches_for_none(
    deps: DeliverDependencies, transport: Transport
) -> None:
    login, endpoint = Login(), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        assert function.run(*batch(30)) == []
        assert function.run(*batch(5)) == []
        transport.close()
    assert len(login.requests) == 1
    assert endpoint.tokens == [TOKEN] * 35


def test_a_token_is_asked_for_anew_before_it_expires(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    login, endpoint = Login([granted("first-token", expires_in=100), granted("second-token")]), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        for seconds in (0, 69, 2):
            clock.move(seconds)
            function.run(*batch(1))
        transport.close()
    assert endpoint.tokens == ["first-token", "first-token", "second-token"]


def test_a_clock_that_was_set_back_makes_no_token_live_longer(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    login, endpoint = Login(), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        for seconds in (0, -3600):
            clock.move(seconds)
            function.run(*batch(1))
        transport.close()
    assert endpoint.tokens == [TOKEN, "token-number-2"]


def test_a_token_that_expires_at_once_serves_those_that_wait_for_it(
    deps: DeliverDependencies, transport: Transport
) -> None:
    login, endpoint = Login([granted("first-token", expires_in=0), granted("second-token")]), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        function.run(*batch(3))
        function.run(*batch(1))
        transport.close()
    assert endpoint.tokens == ["first-token"] * 3 + ["second-token"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "another-secret"},
        {"client_id": "another"},
        {"scope": "hooks"},
        {"audience": "https://api.example"},
        {"authentication": "body"},
    ],
)
def test_other_credentials_get_another_token(
    deps: DeliverDependencies, transport: Transport, changes: dict[str, str]
) -> None:
    login, endpoint = Login(), Guarded()
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        function.run(*batch(1))
        function.run(*batch(1), secrets=Secrets(keys(token_server.url, **changes)))
        transport.close()
    assert endpoint.tokens == [TOKEN, "token-number-2"]


def test_another_token_endpoint_gives_another_token(deps: DeliverDependencies, transport: Transport) -> None:
    endpoint, other = Guarded(), Login([granted("token-of-the-other")])
    with serving(Login(), endpoint) as (token_server, server), serve(other) as another:
        function = Function(deps, transport, server.url, token_server.url)
        function.run(*batch(1))
        function.run(*batch(1), secrets=Secrets(keys(another.url)))
        transport.close()
    assert endpoint.tokens == [TOKEN, "token-of-the-other"]


def test_another_generation_and_another_app_get_tokens_of_their_own(
    deps: DeliverDependencies, transport: Transport
) -> None:
    endpoint = Guarded()
    with serving(Login(), endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        function.run(*batch(1))
        function.apps["pager"] = app(url=server.url, generation=2)  # type: ignore[index]
        function.run(*batch(1))
        function.apps["chat"] = app("chat", url=server.url, generation=2)  # type: ignore[index]
        function.run(*batch(1, "chat"))
        transport.close()
    assert endpoint.tokens == [TOKEN, "token-number-2", "token-number-3"]


def test_a_token_that_was_refused_is_forgotten_and_the_retry_has_another(
    deps: DeliverDependencies, transport: Transport, clock: Clock, queue: str
) -> None:
    endpoint = Guarded()
    with serving(Login(), endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        function.run(*batch(1, "pager"))
        endpoint.refuses.add(TOKEN)
        clock.move(REFUSED_SECONDS)
        failed = queue_message(delivery(delivery_id="msg_revoked"))
        assert function.run(failed) == []
        assert endpoint.tokens == [TOKEN, TOKEN]  # one POST for each attempt
        assert row("msg_revoked")["result"] == "http_401"
        assert function.run(*retries(queue)) == []
        transport.close()
    assert endpoint.tokens[2:] == ["token-number-2"]
    assert record("msg_revoked").state == "delivered"


def test_an_endpoint_that_refuses_every_token_has_one_asked_for_now_and_then_only(
    deps: DeliverDependencies, transport: Transport, clock: Clock
) -> None:
    login, endpoint = Login(), Guarded({f"token-number-{n}" for n in range(9)})
    with serving(login, endpoint) as (token_server, server):
        function = Function(deps, transport, server.url, token_server.url)
        for number in range(6):
            function.run(queue_message(delivery(delivery_id=f"msg_{number}")))
            clock.move(REFUSED_SECONDS / 2)
        transport.close()
    assert len(login.requests) == 2
    assert len(endpoint.tokens) == 6


def test_a_late_refusal_of_an_older_token_leaves_the_newer_one(clock: Clock) -> None:
    tokens, asked, made = AccessTokens(clock.seconds), list[str](), app()

    def send() -> Sent:
        return tokens.post(spoken, made, keys("https://login.example/token"), Webhook({}, b""), 10.0)

    def respond(url: str, headers: Mapping[str, str]) -> Response | SendFailure:
        if "login" in url:
            asked.append(url)
            lifetime = 100 if len(asked) == 1 else 3600
            return response(200, grant(f"token-number-{len(asked)}", expires_in=lifetime))
        if headers["Authorization"].endswith("-1") and len(asked) == 1:
            clock.move(100)
            send()  # meanwhile another attempt has the next token
            clock.move(100)
            return response(401)
        return response(200)

    spoken = Spoken(respond)
    assert send().outcome == response(401)
    assert send().outcome == response(200)
    assert len(asked) == 2


def test_one_who_waits_for_anothers_token_waits_no_longer_than_half_of_its_own_deadline(
    transport: Transport,
) -> None:
    tokens, hub, endpoint = AccessTokens(time.time), Hub[tuple[float, Sent]](), Guarded()
    release = threading.Event()

    def slow(connection: Any, over: threading.Event) -> None:
        servers.read_request(connection)
        release.wait()
        connection.sendall(granted(TOKEN))

    def send(url: str, token_url: str, seconds: float) -> tuple[float, Sent]:
        return seconds, tokens.post(transport, app(url=url), keys(token_url), Webhook({}, b"{}"), seconds)

    with serving(slow, endpoint) as (token_server, server), closing(hub):
        for seconds in (30.0, 0.2):
            hub.start(lambda seconds=seconds: send(server.url, token_server.url, seconds))  # type: ignore[misc]
        [(seconds, waited)] = hub.wait()
        release.set()
        [(_, posted)] = hub.wait()
        transport.close()
    assert seconds == 0.2
    assert waited.outcome == SendFailure(
        "token_error", "token endpoint: timeout: no token came within half of the deadline"
    )
    assert isinstance(posted.outcome, Response)
    assert endpoint.tokens == [TOKEN]


def test_an_attempt_that_is_ended_while_it_asks_leaves_nobody_waiting(transport: Transport) -> None:
    tokens, hub, endpoint = AccessTokens(time.time), Hub[Sent](), Guarded()
    with serving(silent, endpoint) as (hanging, server), serve(Login()) as token_server:

        def send(token_url: str) -> Sent:
            return tokens.post(transport, app(url=server.url), keys(token_url), Webhook({}, b"{}"), 20.0)

        with closing(hub):
            for _ in range(3):
                hub.start(lambda: send(hanging.url))
            assert hub.wait(0.0) == []
        assert tokens._asking == {}
        hub.start(lambda: send(token_server.url))
        [sent] = hub.wait()
        transport.close()
    assert isinstance(sent.outcome, Response)


def test_a_start_imports_nothing_of_it() -> None:
    code = (
        "import sys, deliver.app; print([name for name in sys.modules if 'oauth2' in name or 'access_t' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="functions")
    assert ran.stdout == "[]\n"
