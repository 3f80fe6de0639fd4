"""The embedded AWS: MiniStack in a process of its own, with IAM enforced."""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from infra.local.build import ROOT
from infra.local.processes import LocalError, supervised, tail, wait_until

MINISTACK = ROOT / ".venv-aws" / "bin" / "ministack"
REGION = "us-east-1"
STARTS = 3
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class EmbeddedAws:
    """A running embedded AWS. `env` is what an AWS client needs to reach it as its root user."""

    endpoint: str
    env: dict[str, str]
    log: Path
    _server_env: dict[str, str]
    _running: ExitStack = field(default_factory=ExitStack)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it; False if it ended, for instance because another process took the port first."""
        self._process = self._running.enter_context(supervised([str(MINISTACK)], self._server_env, self.log))
        process = self._process

        def ready_or_ended() -> bool:
            return process.poll() is not None or self._is_ready()

        wait_until(ready_or_ended, START_SECONDS, "the embedded AWS is ready")
        return process.poll() is None

    def restart(self) -> None:
        """Have it shut down and come back with its state; the functions' processes end wherever they are.

        It has to be one that keeps its state.
        """
        if self._process:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
        self.end()
        _forget_streams(Path(self._server_env["STATE_DIR"]))
        if not self.start():
            raise LocalError(f"the embedded AWS did not come back:\n{tail(self.log)}")

    def end(self) -> None:
        """End it at once."""
        self._running.close()

    def inspect(self, path: str) -> Any:
        """One of MiniStack's own views, such as the mails that SES accepted."""
        # The address is always a loopback address.
        with urlopen(f"{self.endpoint}/_ministack/{path}", timeout=10) as response:  # noqa: S310
            return json.load(response)

    def _is_ready(self) -> bool:
        try:
            return bool(self.inspect("ready"))
        except (URLError, OSError, ValueError):
            return False


@contextmanager
def embedded_aws(directory: Path, host: str = "127.0.0.1", *, keeps_state: bool = False) -> Iterator[EmbeddedAws]:
    """Run the embedded AWS on a free port, its files in `directory`; one that `keeps_state` can be restarted."""
    key = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    for _ in range(STARTS):
        port = _free_port()
        endpoint = f"http://127.0.0.1:{port}"
        client, server = _client_env(endpoint) | key, _server_env(host, port, directory) | key
        server |= {"PERSIST_STATE": "1", "STATE_DIR": str(directory / "state")} if keeps_state else {}
        aws = EmbeddedAws(endpoint, client, directory / "embedded-aws.log", server)
        try:
            if aws.start():
                yield aws
                return
        finally:
            aws.end()
    raise LocalError(f"the embedded AWS did not start:\n{tail(aws.log)}")


def _forget_streams(state: Path) -> None:
    # MiniStack keeps how far each stream was read, and not the stream: it would skip as many of the new records.
    functions = state / "lambda.json"
    kept = json.loads(functions.read_text())
    kept["payload"]["dynamodb_stream_positions"]["data"] = {}
    functions.write_text(json.dumps(kept))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _client_env(endpoint: str) -> dict[str, str]:
    no_files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION} | no_files


def _server_env(host: str, port: int, directory: Path) -> dict[str, str]:
    # The functions inherit this environment: it must contain none of the user's AWS settings or proxies.
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
    }
