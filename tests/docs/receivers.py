"""The receivers of docs/app-authors.md, run as programs on loopback."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import example
from tests.docs.webhook_example import APP_AUTHORS, STANDARD_SECRET

NODE = shutil.which("node")
START_SECONDS = 20.0


def write_receiver(kind: str, directory: Path) -> list[str]:
    """Write a receiver's files as the page says; the command that starts it."""
    if kind.startswith("node"):
        assert NODE
        program = example(APP_AUTHORS, "receiver.mjs")
        (directory / "receiver.mjs").write_text(_by_key(program) if kind == "node by key" else program)
        return [NODE, "receiver.mjs"]
    program = example(APP_AUTHORS, "receiver.py")
    if kind in {"by hand", "by key"}:
        module = kind.replace(" ", "_")
        (directory / f"{module}.py").write_text(example(APP_AUTHORS, f"{module}.py"))
        replaced = program.replace("from standardwebhooks import", f"from {module} import")
        assert replaced != program
        program = replaced
    (directory / "receiver.py").write_text(program)
    return [sys.executable, "receiver.py"]


def _by_key(program: str) -> str:
    """The receiver with what stands in place of its key and `verified`."""
    without = re.sub(r"const KEY = .*\n", "", program)
    replaced = re.sub(r"function verified\(.*?\n}\n", "", without, flags=re.DOTALL)
    assert "createHmac(" in program
    assert "createHmac(" not in replaced
    return example(APP_AUTHORS, "by_key.mjs") + replaced


@contextmanager
def running(command: list[str], directory: Path, secret: str = STANDARD_SECRET) -> Iterator[int]:
    """Run a receiver that knows this secret or public key; the port that it listens on."""
    port = _free_port()
    environment = os.environ | {"WEBHOOK_SECRET": secret, "PORT": str(port)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_it_listens(port, process, directory)
            yield port
        finally:
            process.kill()
            process.wait()


def post(port: int, headers: Mapping[str, str], body: bytes) -> int:
    """Send a webhook; the status of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_it_listens(port: int, process: "subprocess.Popen[bytes]", directory: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            log = (directory / "log").read_text()
            assert process.poll() is None, f"the receiver ended: {log}"
            assert time.monotonic() < end, f"the receiver does not listen: {log}"
            time.sleep(0.05)
        else:
            return
