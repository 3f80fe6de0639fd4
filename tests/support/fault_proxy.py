"""A proxy between the functions and the embedded AWS that makes chosen calls fail, as a bad day on AWS would.

function ──► FaultProxy ──► embedded AWS
               │ a Fault matches the call, by operation and resource:
               ├ refused    the connection ends before AWS sees the call
               ├ error      HTTP 500, AWS never saw the call
               ├ throttled  the service's throttling error, AWS never saw the call
               ├ slow       AWS is asked after a delay
               └ lost       AWS carries the call out, and the connection ends before its response
"""

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from urllib.parse import urlsplit

THROTTLE = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "sqs": "RequestThrottled",
    "scheduler": "ThrottlingException",
    "ses": "TooManyRequestsException",
    "events": "ThrottlingException",
}
TARGETS = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs", "AWSEvents": "events"}
PATHS = {"/schedules/": "scheduler:CreateSchedule", "/v2/email/outbound-emails": "ses:SendEmail"}


class Kind(StrEnum):
    """How a call fails; see the picture above."""

    REFUSED = "refused"
    ERROR = "error"
    THROTTLED = "throttled"
    SLOW = "slow"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Fault:
    """A share of the calls whose name matches `pattern` fails by `kind`.

    A call's name is its service, operation and resource, such as `dynamodb:PutItem bellhop-Attempts-1AB2`.
    """

    kind: Kind
    pattern: str
    share: float = 1.0
    seconds: float = 0.0  # of SLOW


@dataclass
class FaultProxy:
    """`faults` may be changed at any time; `calls` and `injected` count by name and by kind and name."""

    upstream: str
    seed: int = 0
    faults: Sequence[Fault] = ()
    calls: Counter[str] = field(default_factory=Counter)
    injected: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    url: str = ""

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        parts = urlsplit(self.upstream)
        self._address = str(parts.hostname), int(parts.port or 80)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle the requests of one connection, one after the other."""
        with suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):  # the peer, or the test, ended
            while await self._handle(reader, writer):
                pass
        writer.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may carry another."""
        head, body = await _read_message(reader)
        name = call_name(head, body)
        self.calls[name] += 1
        fault = self._drawn(name)
        if fault:
            self.injected[fault.kind, name] += 1
        match fault.kind if fault else None:
            case Kind.REFUSED:
                return False
            case Kind.ERROR:
                writer.write(_response(500, "InternalServerError"))
            case Kind.THROTTLED:
                writer.write(_response(400, THROTTLE[name.partition(":")[0]]))
            case Kind.LOST:
                await self._forward(head, body)
                return False
            case _:
                await asyncio.sleep(fault.seconds if fault else 0.0)
                writer.write(await self._forward(head, body))
        await writer.drain()
        return True

    def _drawn(self, name: str) -> Fault | None:
        drawn = self._random.random()
        for fault in self.faults:
            if re.search(fault.pattern, name):
                if drawn < fault.share:
                    return fault
                drawn -= fault.share
        return None

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(head + body)
            response = await _read_message(reader)
            return b"".join(response)
        finally:
            writer.close()


def call_name(head: bytes, body: bytes) -> str:
    """The name of an AWS call: service, operation and resource."""
    first, _, rest = head.decode("latin-1").partition("\r\n")
    target = re.search(r"^x-amz-target:\s*(\w+)\.(\w+)", rest, re.IGNORECASE | re.MULTILINE)
    if target and target[1] in TARGETS:
        return f"{TARGETS[target[1]]}:{target[2]} {_resource(body)}"
    path = first.split(" ")[1]
    return next((name for start, name in PATHS.items() if path.startswith(start)), f"other {first}")


def _resource(body: bytes) -> str:
    fields = json.loads(body or b"{}")
    items = fields.get("TransactItems")
    if items:
        return ",".join(sorted({action["TableName"] for item in items for action in item.values()}))
    return str(fields.get("TableName") or str(fields.get("QueueUrl", "")).rpartition("/")[2])


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of a request or response."""
    head = await reader.readuntil(b"\r\n\r\n")
    if re.search(rb"\r\ntransfer-encoding:\s*chunked", head, re.IGNORECASE):
        return head, await _read_chunks(reader)
    length = re.search(rb"\r\ncontent-length:\s*(\d+)", head, re.IGNORECASE)
    return head, await reader.readexactly(int(length[1]) if length else 0)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        body += size + await reader.readexactly(int(size.split(b";")[0], 16) + 2)
        if int(size.split(b";")[0], 16) == 0:
            return body


def _response(status: int, code: str) -> bytes:
    body = json.dumps({"__type": code, "message": "a fault of the test"}).encode()
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-errortype: {code}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def fault_proxy(upstream: str, seed: int = 0) -> Iterator[FaultProxy]:
    """Run a proxy in front of `upstream` on a free loopback port for the length of the block."""
    proxy = FaultProxy(upstream, seed)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 21)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="fault-proxy")
    thread.start()
    loop, stop = started.result()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
