"""The embedded AWS: MiniStack as a process of its own, with IAM enforced."""

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from infra.local.build import ROOT
from infra.local.processes import LocalError, leashed, tail, until

if TYPE_CHECKING:
    import subprocess

MINISTACK = ROOT / ".venv-aws" / "bin" / "ministack"
REGION = "us-east-1"
STARTS = 3
START_SECONDS = 60.0


@dataclass(frozen=True)
class Embedded:
    """A running embedded AWS. `env` is what an AWS client needs to reach it as its root user."""

    endpoint: str
    env: dict[str, str]
    log: Path

    def look(self, path: str) -> Any:
        """One of MiniStack's own views, such as the mails that SES took."""
        # The address is ours, on the loopback.
        with urlopen(f"{self.endpoint}/_ministack/{path}", timeout=10) as response:  # noqa: S310
            return json.load(response)


@contextmanager
def embedded(directory: Path, host: str = "127.0.0.1") -> Iterator[Embedded]:
    """Run the embedded AWS on a free port, its files in `directory`."""
    key = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    for start in range(STARTS):
        port = _free_port()
        endpoint = f"http://127.0.0.1:{port}"
        aws = Embedded(endpoint, _client_env(endpoint) | key, directory / "embedded-aws.log")
        with leashed([str(MINISTACK)], _server_env(host, port, directory) | key, aws.log) as process:
            if _ready(aws, process):
                yield aws
                return
        if start == STARTS - 1:
            raise LocalError(f"the embedded AWS did not start:\n{tail(aws.log)}")


def _ready(aws: Embedded, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it came up; not if it ended, for instance because another took the port meanwhile."""

    def decided() -> bool:
        return process.poll() is not None or _answers(aws)

    until(decided, START_SECONDS, "the embedded AWS answers")
    return process.poll() is None


def _answers(aws: Embedded) -> bool:
    try:
        return bool(aws.look("ready"))
    except (URLError, OSError, ValueError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _client_env(endpoint: str) -> dict[str, str]:
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION} | nothing


def _server_env(host: str, port: int, directory: Path) -> dict[str, str]:
    # Functions inherit this environment: nothing of the user's own AWS settings or proxies may be in it.
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
    }
