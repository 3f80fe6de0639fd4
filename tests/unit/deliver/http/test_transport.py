"""Whatever an endpoint does, an attempt ends in time with the right outcome. Real sockets, plain and TLS."""

import errno
import socket
import ssl
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deliver.http import sockets
from deliver.http import transport as module
from deliver.http.faults import OurFaultError
from deliver.http.guard import EndpointPolicy
from deliver.http.hub import Hub
from deliver.http.response import KEPT_BYTES, Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.servers import drips, responds_with, serve, silent

OPEN = EndpointPolicy(http=True, private=True, ports=None)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, str]:
    return servers.certificates()


@pytest.fixture(params=["http", "https"])
def server_context(
    request: pytest.FixtureRequest, certificates: tuple[ssl.SSLContext, str]
) -> ssl.SSLContext | None:
    return certificates[0] if request.param == "https" else None


@pytest.fixture
def transport(certificates: tuple[ssl.SSLContext, str], tmp_path: Path) -> Iterator[Transport]:
    (tmp_path / "ca.pem").write_text(certificates[1])
    made = Transport(OPEN, tls_context(str(tmp_path / "ca.pem")))
    yield made
    made.close()


def post(transport: Transport, url: str, seconds: float = 5.0) -> Response | SendFailure:
    """As deliver does: in a hub."""
    side: Hub[Response | SendFailure] = Hub()
    side.start(lambda: transport.post("app", url, {"Content-Type": "application/json"}, b'{"a":1}', seconds))
    [outcome] = side.wait()
    return outcome


def kind(outcome: Response | SendFailure) -> str:
    assert isinstance(outcome, SendFailure)
    return outcome.kind


def test_a_response_has_status_headers_and_body(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    response = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait"
    with serve(responds_with(response), server_context) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert (outcome.status, outcome.headers["retry-after"], outcome.body) == (503, "7", b"wait")


def test_connections_are_kept_alive(transport: Transport, server_context: ssl.SSLContext | None) -> None:
    with serve(responds_with(OK, OK, OK), server_context) as server:
        assert [post(transport, server.url) for _ in range(3)] == [
            Response(200, {"Content-Length": "2"}, b"ok")
        ] * 3
        assert server.accepted == 1


def test_a_kept_connection_that_died_is_replaced_at_once(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    # Each connection responds once, waits for the next request, then closes without a byte.
    def once(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(OK)
        servers.read_request(connection)

    with serve(once, server_context) as server:
        assert post(transport, server.url) == post(transport, server.url)
        assert server.accepted == 2
        transport.close()  # or the server would wait for one more request


def test_a_request_is_one_packet(transport: Transport) -> None:
    received: list[bytes] = []

    def once(connection: socket.socket, over: threading.Event) -> None:
        received.append(connection.recv(65_536))
        connection.sendall(OK)

    with serve(once) as server:
        post(transport, server.url)
    assert received[0].endswith(b'{"a":1}')


def test_a_new_connection_that_dies_is_not_tried_again(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(responds_with(b""), server_context) as server:
        assert kind(post(transport, server.url)) == "connection_error"
        assert server.accepted == 1


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(silent, id="accepts and says nothing"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), id="drips headers"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), id="drips one header"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"."), id="drips the body"),
        pytest.param(
            drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n.\r\n"), id="drips chunks"
        ),
        pytest.param(drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="continues for ever"),
    ],
)
def test_the_deadline_ends_every_phase_as_a_timeout(
    transport: Transport, server_context: ssl.SSLContext | None, behave: servers.Behaviour
) -> None:
    with serve(behave, server_context) as server:
        assert kind(post(transport, server.url, seconds=0.4)) == "timeout"


def test_a_response_that_comes_in_parts_and_late_but_within_the_deadline_stands(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    deadline = 2.5

    def late(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        for part in (OK[:20], OK[20:-1], OK[-1:]):
            over.wait(deadline / 4)
            connection.sendall(part)

    with serve(late, server_context) as server:
        assert post(transport, server.url, deadline) == Response(200, {"Content-Length": "2"}, b"ok")


def test_the_deadline_ends_a_stalled_tls_handshake(transport: Transport) -> None:
    with serve(silent) as server:
        assert kind(post(transport, f"https://localhost:{server.port}/", seconds=0.3)) == "timeout"


def test_the_deadline_ends_a_name_lookup(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_: over.wait() if host == "slow.example" else [])
    assert kind(post(transport, "http://slow.example/", seconds=0.4)) == "timeout"
    over.set()


def test_the_deadline_ends_a_connect_that_nobody_accepts(transport: Transport) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(full.getsockname())
        assert kind(post(transport, f"http://127.0.0.1:{full.getsockname()[1]}/", seconds=0.3)) == "timeout"
        for connection in waiting:
            connection.close()


def test_a_huge_body_is_read_no_further_than_the_limit(transport: Transport) -> None:
    sent = 0

    def flood(connection: socket.socket, over: threading.Event) -> None:
        nonlocal sent
        servers.read_request(connection)
        connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 10737418240\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"x" * 65_536)
            sent += 65_536

    with serve(flood) as server:
        outcome = post(transport, server.url)
        assert isinstance(outcome, Response)
        assert outcome.body == b"x" * KEPT_BYTES
    assert sent < 32 * 1024 * 1024


def test_no_response_makes_an_attempt_keep_more_than_a_mebibyte(transport: Transport) -> None:
    def flood(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(b"HTTP/1.1 500 Oops\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"x" * 65_536)

    with serve(responds_with(OK)) as server:
        post(transport, server.url)
    with serve(flood) as server:
        tracemalloc.start()
        post(transport, server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_a_compressed_response_is_never_inflated(transport: Transport) -> None:
    body = b"\x1f\x8b" + b"\0" * 98
    head = b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n"
    with serve(responds_with(head + body)) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert outcome.body == body


def test_a_redirect_is_a_response_and_not_followed(transport: Transport) -> None:
    with serve(responds_with(OK)) as target:
        response = f"HTTP/1.1 302 Found\r\nLocation: {target.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with serve(responds_with(response)) as server:
            outcome = post(transport, server.url)
        assert target.accepted == 0
    assert isinstance(outcome, Response)
    assert outcome.status == 302


def test_cookies_are_not_kept(transport: Transport) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket, over: threading.Event) -> None:
        for _ in range(2):
            seen.append(servers.read_request(connection))
            connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    with serve(behave) as server:
        post(transport, server.url)
        post(transport, server.url)
    assert b"cookie" not in seen[1].lower()


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: b", id="inside a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: b\r\n", id="between headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="after the status line"),
        pytest.param(b"HTTP/1.1 20", id="inside the status line"),
    ],
)
def test_a_header_block_that_is_cut_off_is_no_response(
    transport: Transport, server_context: ssl.SSLContext | None, response: bytes
) -> None:
    with serve(responds_with(response), server_context) as server:
        assert kind(post(transport, server.url)) == "invalid_response"


def test_headers_without_end_are_no_response(transport: Transport) -> None:
    with serve(drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 5000, 0.0)) as server:
        assert kind(post(transport, server.url)) == "invalid_response"


def test_a_body_that_is_cut_off_lets_the_status_stand(transport: Transport) -> None:
    with serve(responds_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert outcome.status == 200


def test_a_reset_is_a_connection_error(transport: Transport) -> None:
    def reset(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serve(reset) as server:
        assert kind(post(transport, server.url)) == "connection_error"


def test_a_refused_connection_is_a_connection_error(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert kind(post(transport, f"http://127.0.0.1:{port}/")) == "connection_error"


def test_an_unknown_name_is_a_dns_error(transport: Transport) -> None:
    assert kind(post(transport, "http://no-such-name.invalid/")) == "dns_error"


def test_a_certificate_of_an_unknown_authority_is_a_tls_error(server_context: ssl.SSLContext | None) -> None:
    strict = Transport(OPEN, tls_context())
    with serve(responds_with(OK), servers.certificates()[0]) as server:
        assert kind(post(strict, server.url)) == "tls_error"
    strict.close()


def test_a_certificate_for_another_name_is_a_tls_error(
    transport: Transport, certificates: tuple[ssl.SSLContext, str]
) -> None:
    with serve(responds_with(OK), certificates[0]) as server:
        assert kind(post(transport, f"https://127.0.0.1:{server.port}/")) == "tls_error"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"],
)
def test_loopback_in_any_spelling_is_refused_without_a_connection(host: str) -> None:
    guarded = Transport(EndpointPolicy(http=True, ports=None), tls_context())
    with serve(responds_with(OK)) as server:
        outcome = post(guarded, f"http://{host}:{server.port}/")
        assert server.accepted == 0
    assert outcome == SendFailure("address_not_allowed", outcome.detail, refused=True)  # type: ignore[union-attr]
    guarded.close()


@pytest.mark.parametrize(
    "authority",
    [
        "user:secret@127.0.0.1:{}",
        "example.com@127.0.0.1:{}",
        "127.0.0.1:{}\\@example.com",
        "127.0.0.1\\:{}",
        "127.0.0.1.:{}",
        "[127.0.0.1]:{}",
        "[::1%25lo]:{}",
        "[::1%lo]:{}",
        "[::ffff:127.0.0.1]:{}",
        "[0:0:0:0:0:ffff:7f00:1]:{}",
        "①②⑦.⓪.⓪.①:{}",
        "\uff11\uff12\uff17.0.0.1:{}",
        "127。0。0。1:{}",
        "017700000001:{}",
        "0x7f000001:{}",
        "127.0.1:{}",
        "0:{}",
        "localhost.:{}",
        "LOCALHOST:{}",
        "loc\u00adalhost:{}",
        "127.0.0.1%00.example.com:{}",
        "127.0.0.1%0d%0aX:{}",
        "local\thost:{}",
        "local\nhost:{}",
        " localhost:{}",
    ],
)
def test_no_spelling_of_a_url_reaches_a_private_address(authority: str) -> None:
    guarded = Transport(EndpointPolicy(http=True, ports=None), tls_context())
    with serve(responds_with(OK)) as server:
        outcome = post(guarded, f"http://{authority.format(server.port)}/hook", seconds=2)
        assert isinstance(outcome, SendFailure)
        assert server.accepted == 0
    guarded.close()


def test_one_forbidden_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 443)) for a in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    guarded = Transport(EndpointPolicy(), tls_context())
    assert kind(post(guarded, "https://mixed.example/")) == "address_not_allowed"
    guarded.close()


class Names:
    """A name server in an attacker's hands: each look-up has the next address, the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    def __call__(self, host: str, port: int, *_: Any) -> list[Any]:
        self.asked += 1
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def test_a_connection_goes_to_the_address_that_was_checked_though_the_name_has_another_by_then(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, reached, names = list[str](), list[str](), Names("127.0.0.1", "127.0.0.2")
    monkeypatch.setattr(socket, "getaddrinfo", names)
    monkeypatch.setattr(module, "check_address", lambda address, _: checked.append(address))

    def behave(connection: socket.socket, over: threading.Event) -> None:
        reached.append(connection.getsockname()[0])
        responds_with(OK, OK)(connection, over)

    with serve(behave) as server:
        for _ in range(2):  # the second over the kept connection, which is where it was checked
            assert isinstance(post(transport, f"http://rebound.example:{server.port}/"), Response)
    assert (names.asked, checked, reached) == (1, ["127.0.0.1"], ["127.0.0.1"])


def test_a_new_connection_has_its_name_looked_up_and_checked_again(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names("127.0.0.1", "169.254.169.254")
    monkeypatch.setattr(socket, "getaddrinfo", names)
    closing = OK.replace(b"200 OK", b"200 OK\r\nConnection: close")
    with serve(responds_with(closing)) as server:
        url = f"http://rebound.example:{server.port}/"
        assert isinstance(post(transport, url), Response)
        assert kind(post(transport, url)) == "address_not_allowed"
    assert names.asked == 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "https://",
        "nonsense",
        "http://[::1/",
        "https://a:port/",
        "https://a:99999/",
        "mailto:x",
    ],
)
def test_what_is_not_a_url_is_said_to_be_the_configurations_and_is_not_repeated(
    transport: Transport, url: str
) -> None:
    outcome = post(transport, url)
    assert kind(outcome) == "invalid_url"
    assert url not in outcome.detail  # type: ignore[union-attr]


def test_a_host_that_cannot_be_a_name_is_a_dns_error(transport: Transport) -> None:
    assert kind(post(transport, "https://a..b/")) == "dns_error"


def test_the_environments_proxy_is_not_used(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(responds_with(OK)) as proxy, serve(responds_with(OK)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        post(transport, server.url)
        assert proxy.accepted == 0


def test_attempts_side_by_side_do_not_mix_their_deadlines(transport: Transport) -> None:
    order: list[str] = []

    def attempt(name: str, url: str, seconds: float) -> Callable[[], Response | SendFailure]:
        def run() -> Response | SendFailure:
            outcome = transport.post("app", url, {}, b"{}", seconds)
            order.append(name)
            return outcome

        return run

    side: Hub[Response | SendFailure] = Hub()
    with serve(silent) as hanging, serve(responds_with(*[OK] * 20)) as healthy:
        for _ in range(3):
            side.start(attempt("hung", hanging.url, 1.0))
        for _ in range(20):
            side.start(attempt("healthy", healthy.url, 5.0))
        while side.wait():
            pass
        transport.close()  # or the server would wait for one more request
    assert order == ["healthy"] * 20 + ["hung"] * 3


def test_outside_a_hub_a_post_ends_at_its_deadline_too(transport: Transport) -> None:
    with serve(silent) as hanging, serve(responds_with(OK)) as healthy:
        assert kind(transport.post("app", hanging.url, {}, b"{}", 0.3)) == "timeout"
        assert isinstance(transport.post("app", healthy.url, {}, b"{}", 5.0), Response)


def test_an_address_that_fails_at_once_leaves_the_next_one_to_try(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    broadcast = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("255.255.255.255", 80))
    monkeypatch.setattr(
        transport._resolver, "addresses", lambda host, port: [broadcast, (*broadcast[:4], ("127.0.0.1", port))]
    )
    monkeypatch.setattr(module, "check_address", lambda *_: None)
    with serve(responds_with(OK)) as server:
        assert isinstance(post(transport, f"http://localhost:{server.port}/"), Response)


def test_more_headers_than_anybody_needs_are_no_response(transport: Transport) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 60_000) for n in range(90))
    with serve(responds_with(b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n")) as server:
        assert kind(post(transport, server.url)) == "invalid_response"


@pytest.mark.parametrize(("allowed", "expected"), [(None, "invalid_response"), (1 << 40, "timeout")])
def test_session_tickets_without_end_hold_nobody_beyond_the_deadline(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, allowed: int | None, expected: str
) -> None:
    certificate, authority = servers.certificates()
    certificate.num_tickets = 10_000_000  # OpenSSL sends them all before the server may write anything
    transport._adapter._context.load_verify_locations(cadata=authority)
    monkeypatch.setattr(sockets, "MAX_HEADER_BYTES", allowed or sockets.MAX_HEADER_BYTES)
    monkeypatch.setattr(sockets, "MAX_READS", allowed or sockets.MAX_READS)
    monkeypatch.setattr(sockets, "MAX_TLS_SECONDS", allowed or sockets.MAX_TLS_SECONDS)
    with serve(responds_with(OK), certificate) as server:
        assert kind(post(transport, server.url, seconds=1)) == expected


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body", [b"-1\r\n", b"-ffffffffff\r\nx\r\n", b"zz\r\n", b"1;x\r\n", b"\r\n\r\n", b"5\r\nab\r\n0\r\n\r\n"]
)
def test_a_negative_or_senseless_chunk_size_lets_the_status_stand(transport: Transport, body: bytes) -> None:
    with serve(responds_with(CHUNKED + body)) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert outcome.status == 200


@pytest.mark.parametrize(
    "value", ["Bearer top\nsecret", "Bearer top\r\nX: secret", "Bearer \u0142secret", "secret\0"]
)
def test_a_header_that_cannot_be_sent_is_named_without_its_value_and_nothing_goes_out(
    transport: Transport, value: str
) -> None:
    with serve(responds_with(OK)) as server:
        outcome = transport.post("app", server.url, {"Authorization": value}, b"{}", 5.0)
        assert server.accepted == 0
    assert kind(outcome) == "invalid_header"
    assert isinstance(outcome, SendFailure)
    assert "Authorization" in outcome.detail
    assert "secret" not in outcome.detail


@pytest.mark.parametrize("name", ["", "X Team", "X:Team", "X-T\u00e9am", "X\r\nHost", "X\u0142", "x" * 200 + " "])
def test_a_header_name_that_cannot_be_sent_is_the_configurations_fault(transport: Transport, name: str) -> None:
    with serve(responds_with(OK)) as server:
        outcome = transport.post("app", server.url, {name: "secret"}, b"{}", 5.0)
        assert server.accepted == 0
    assert isinstance(outcome, SendFailure)
    assert outcome.kind == "invalid_header"
    assert "secret" not in outcome.detail


def test_descriptors_that_ran_out_were_counted_as_the_endpoints_timeout(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sockets.Socket, "begin_connect", exhausted)
    with pytest.raises(OurFaultError, match="Too many open files"):
        post(transport, "http://127.0.0.1:9/")


# ---- A response that was taken but is odd is judged by its status


def fields(*lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    ("response", "body"),
    [
        pytest.param(fields(*[b"X-A: b"] * 500, b"Content-Length: 2") + b"ok", b"ok", id="500 fields"),
        pytest.param(fields(b"X-A: " + b"a" * 70_000, b"Content-Length: 2") + b"ok", b"ok", id="a line of 70,000"),
        pytest.param(fields(b"no colon", b"Content-Length: 2") + b"ok", b"ok", id="a line without a colon"),
        pytest.param(fields(b": no name", b"Content-Length: 2") + b"ok", b"ok", id="a field without a name"),
        pytest.param(fields(b"X-A: b\rjunk", b"Content-Length: 2") + b"ok", b"ok", id="a bare CR"),
        pytest.param(fields(b"X-A: b", b"  folded", b"Content-Length: 2") + b"ok", b"ok", id="a folded field"),
        pytest.param(
            fields(b" leading", b"Content-Length: 2") + b"ok", b"ok", id="a space before the first field"
        ),
        pytest.param(fields(b"Content-Length : 2") + b"ok", b"ok", id="a space before the colon"),
        pytest.param(fields(b"Content-Length: 2", b"Content-Length: 2") + b"ok", b"ok", id="one length twice"),
        pytest.param(fields(b"Content-Length: 2", b"Content-Length: 3") + b"ok", b"", id="two lengths"),
        pytest.param(fields(b"Content-Length: 2, 3") + b"ok", b"", id="two lengths in a line"),
        pytest.param(fields(b"Content-Length: -2") + b"ok", b"", id="a negative length"),
        pytest.param(fields(b"Content-Length: " + b"9" * 5000) + b"ok", b"", id="a length of 5000 digits"),
        pytest.param(
            fields(b"Transfer-Encoding: gzip, chunked") + b"2\r\nok\r\n0\r\n\r\n", b"", id="gzip, chunked"
        ),
        pytest.param(
            fields(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n" + b"X-T: a\r\n" * 500 + b"\r\n",
            b"ok",
            id="trailers",
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + fields(b"Content-Length: 2") + b"ok", b"ok", id="103"
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + fields(b"Content-Length: 2") + b"ok",
            b"ok",
            id="100 and 102",
        ),
    ],
)
def test_a_response_that_is_odd_is_judged_by_its_status(
    transport: Transport, server_context: ssl.SSLContext | None, response: bytes, body: bytes
) -> None:
    # The connection stays open: what waits for its end would run into the deadline.
    with serve(drips(response, b"", 10.0), server_context) as server:
        outcome = post(transport, server.url)
        assert isinstance(outcome, Response)
        assert (outcome.status, outcome.body) == (200, body)


def test_trailers_without_end_let_the_status_stand(transport: Transport) -> None:
    chunked = fields(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n"
    with serve(drips(chunked, b"X-T: a\r\n" * 5000, 0.0)) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert outcome.status == 200


def test_what_decides_is_found_behind_many_fields_and_in_every_repetition(transport: Transport) -> None:
    lines = [b"X-A: b"] * 500 + [b"Retry-After: 5", b"retry-after: 60"]
    lines += [b"Webhook-Delivery: abort-message", b"webhook-delivery: disable"]
    with serve(responds_with(fields(*lines, b"Content-Length: 0"))) as server:
        outcome = post(transport, server.url)
    assert isinstance(outcome, Response)
    assert outcome.headers["retry-after"] == "5, 60"
    assert outcome.headers["webhook-delivery"] == "abort-message, disable"


def test_a_connection_that_switched_protocols_is_not_used_again(transport: Transport) -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    with serve(responds_with(switched, OK)) as server:
        outcome = post(transport, server.url)
        assert isinstance(outcome, Response)
        assert outcome.status == 101
        assert isinstance(post(transport, server.url), Response)
        assert server.accepted == 2
