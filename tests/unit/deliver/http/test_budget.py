"""However an endpoint cuts up what it sends, reading it takes a bounded number of steps."""

import io
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from deliver.http import fields, sockets
from deliver.http.faults import BudgetExceededError
from deliver.http.guard import EndpointPolicy
from deliver.http.hub import Hub
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import FREE_READS, MAX_READS, PAUSE_SECONDS, current_call, tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.servers import Behaviour, drips, responds_with, serve

LONG = 30.0  # seconds that no attempt here needs
HEAD, END = b"HTTP/1.1 200 OK\r\n", b"\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EXTENSIONS = b"1;" + b"x" * 1000 + b"\r\na\r\n"  # of a chunk of one byte
OK = HEAD + b"Content-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, str]:
    return servers.certificates()


@pytest.fixture(params=["http", "https"])
def server_context(
    request: pytest.FixtureRequest, certificates: tuple[ssl.SSLContext, str]
) -> ssl.SSLContext | None:
    return certificates[0] if request.param == "https" else None


@pytest.fixture
def transport(certificates: tuple[ssl.SSLContext, str]) -> Iterator[Transport]:
    context = tls_context()
    context.load_verify_locations(cadata=certificates[1])
    made = Transport(EndpointPolicy(http=True, private=True, ports=None), context)
    yield made
    made.close()


def byte_by_byte(head: bytes, rest: bytes) -> Behaviour:
    """Read a request, send `head`, then each byte of `rest` by itself: under TLS, in a record of its own."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(head)
        for byte in rest:
            connection.sendall(bytes([byte]))
        over.wait()

    return behave


def failure(transport: Transport, url: str, seconds: float = LONG) -> SendFailure:
    outcome = transport.post("app", url, {}, b"{}", seconds)
    assert isinstance(outcome, SendFailure)
    return outcome


def status(transport: Transport, url: str) -> int:
    outcome = transport.post("app", url, {}, b"{}", LONG)
    assert isinstance(outcome, Response)
    return outcome.status


def test_tls_records_of_one_byte_before_the_end_of_the_headers_kept_the_processor_busy(
    transport: Transport, certificates: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PAUSE_SECONDS", 0.001)
    with serve(byte_by_byte(HEAD + b"X-A: ", b"a" * 5000), certificates[0]) as server:
        outcome = failure(transport, server.url)
    assert outcome.kind == "invalid_response"
    assert "pieces" in outcome.detail
    assert current_call.get().reads == MAX_READS + 1


def test_tls_records_of_one_byte_after_the_headers_kept_the_processor_busy(
    transport: Transport, certificates: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PAUSE_SECONDS", 0.001)
    with serve(byte_by_byte(HEAD + b"Content-Length: 60000\r\n\r\n", b"a" * 5000), certificates[0]) as server:
        assert status(transport, server.url) == 200
    assert current_call.get().reads == MAX_READS + 1


def test_a_short_response_may_come_byte_by_byte(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(
        byte_by_byte(b"", HEAD + b"X-A: " + b"a" * 200 + b"\r\nContent-Length: 2\r\n\r\nok"), server_context
    ) as server:
        assert status(transport, server.url) == 200


def test_a_byte_each_millisecond_woke_the_reader_each_millisecond(transport: Transport) -> None:
    with serve(drips(HEAD + b"X-A: ", b"a", 0.001)) as server:
        assert failure(transport, server.url, seconds=1.0).kind == "timeout"
    assert current_call.get().reads <= FREE_READS + 1.0 / PAUSE_SECONDS + 1


def test_a_handshake_that_takes_too_much_cpu_is_a_failure(
    transport: Transport, certificates: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_TLS_SECONDS", 0.0)
    with serve(responds_with(OK), certificates[0]) as server:
        outcome = failure(transport, server.url)
    assert outcome.kind == "invalid_response"
    assert "CPU" in outcome.detail


@pytest.mark.parametrize(("tickets", "expected"), [(2, True), (300, False)])
def test_key_updates_and_tickets_after_the_handshake_took_as_much_cpu_as_they_liked(
    certificates: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch, tickets: int, expected: bool
) -> None:
    context, authority = servers.certificates()
    context.num_tickets = tickets
    trusting = tls_context()
    trusting.load_verify_locations(cadata=authority)
    transport = Transport(EndpointPolicy(http=True, private=True, ports=None), trusting)
    calls = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: float(next(calls)))  # a second for each calculation
    monkeypatch.setattr(sockets, "MAX_TLS_SECONDS", 7.0)
    with serve(responds_with(OK), context) as server:
        outcome = transport.post("app", server.url, {}, b"{}", LONG)
    transport.close()
    assert isinstance(outcome, Response) is expected


def test_an_attempt_that_asked_for_a_token_had_what_tls_may_take_twice(
    transport: Transport, certificates: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    monkeypatch.setattr(sockets, "MAX_TLS_SECONDS", 1e6)
    with serve(responds_with(OK), certificates[0]) as server:

        def twice() -> list[float]:
            taken = []
            for _ in range(2):
                assert status(transport, server.url) == 200
                taken.append(current_call.get().tls_seconds)
            return taken

        monkeypatch.setattr(time, "thread_time", lambda: float(next(calls)))  # a second for each calculation
        of_an_attempt = Hub[list[float]]()
        of_an_attempt.start(twice)
        [(first, both)] = of_an_attempt.wait()
        assert both > first
        [_, another] = twice()  # in a thread, each is an attempt, and these need no handshake
        assert another < both


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_interim_responses_without_end_are_no_response(transport: Transport, interim: bytes) -> None:
    with serve(responds_with(interim * 1000 + OK)) as server:
        outcome = failure(transport, server.url)
    assert outcome.kind == "invalid_response"
    assert "interim" in outcome.detail


def test_header_lines_of_three_bytes_kept_the_processor_busy(transport: Transport) -> None:
    with serve(responds_with(HEAD + b"a:\n" * (fields.MAX_LINES + 1) + END)) as server:
        outcome = failure(transport, server.url)
    assert outcome.kind == "invalid_response"
    assert "lines" in outcome.detail


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"1\r\na\r\n" * 5000, id="chunks of one byte"),
        pytest.param(b"2\r\nok\r\n0\r\n" + b"a\n" * 20_000, id="trailers of one byte"),
        pytest.param(b"1;" + b"a" * 60_000 + b"\r\na\r\n" + b"1;a\r\nb\r\n" * 1000, id="chunk extensions"),
    ],
)
def test_a_chunked_body_in_thousands_of_pieces_is_not_read_to_its_end(
    transport: Transport, server_context: ssl.SSLContext | None, body: bytes
) -> None:
    def behave(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(CHUNKED + body)
        over.wait()  # what waits for the end would wait for its deadline

    with serve(behave, server_context) as server:
        assert status(transport, server.url) == 200
    assert len(transport._idle) == 0


def test_bytes_without_end_after_the_headers_let_the_status_stand(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(drips(CHUNKED, EXTENSIONS * 100, 0.0), server_context) as server:
        assert status(transport, server.url) == 200
    assert current_call.get().bytes_on_wire <= sockets.MAX_BODY_BYTES


@pytest.fixture(params=[8192, 131_072, 1_048_576])
def buffer_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    size: int = request.param  # of Python up to 3.13, of Python 3.14, and of nobody yet
    monkeypatch.setattr(io, "DEFAULT_BUFFER_SIZE", size)
    return size


@pytest.mark.usefixtures("buffer_size")
def test_a_reader_with_a_larger_buffer_took_in_more_than_the_budget_of_the_headers(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(drips(HEAD + b"X-A: ", b"a" * 400_000, 0.0), server_context) as server:
        outcome = failure(transport, server.url)
    assert outcome.kind == "invalid_response"
    assert "before the headers ended" in outcome.detail
    assert current_call.get().bytes_on_wire == sockets.MAX_HEADER_BYTES


@pytest.mark.usefixtures("buffer_size")
def test_a_reader_with_a_larger_buffer_took_in_more_than_the_budget_of_a_body(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(drips(CHUNKED, EXTENSIONS * 400, 0.0), server_context) as server:
        assert status(transport, server.url) == 200
    assert current_call.get().bytes_on_wire <= sockets.MAX_BODY_BYTES


def test_a_body_that_a_large_buffer_took_in_behind_an_interim_response_was_counted_as_headers() -> None:
    call = sockets.Call(0.0)
    call.begin_request(reused=False)
    call.on_wire(len(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    call.on_wire(call.room(sockets.MAX_HEADER_BYTES))  # the headers, and much of the body
    call.end_headers()
    assert call.room(1) == 1


def test_no_read_asks_for_more_than_what_is_left_of_the_budget() -> None:
    call = sockets.Call(0.0, phase=(100, "here"))
    assert call.room(60) == 60
    call.on_wire(60)
    assert call.room(1_048_576) == 40
    call.on_wire(40)
    with pytest.raises(BudgetExceededError, match="more than 100 bytes here"):
        call.room(1)
