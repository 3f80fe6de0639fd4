"""The embedded AWS: MiniStack in a process of its own, with IAM enforced."""

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
from infra.local.processes import LocalError, supervised, tail, wait_until

if TYPE_CHECKING:
    import subprocess

MINISTACK = ROOT / ".venv-aws" / "bin" / "ministack"
REGION = "us-east-1"
STARTS = 3
START_SECONDS = 60.0


@dataclass(frozen=True)
class EmbeddedAws:
    """A running embedded AWS. `env` is what an AWS client needs to reach it as its root user."""

    endpoint: str
    env: dict[str, str]
    log: Path

    def inspect(self, path: str) -> Any:
        """One of MiniStack's own views, such as the mails that SES accepted."""
        # The address is always a loopback address.
        with urlopen(f"{self.endpoint}/_ministack/{path}", timeout=10) as response:  # noqa: S310
            return json.load(response)


@contextmanager
def embedded_aws(directory: Path, host: str = "127.0.0.1") -> Iterator[EmbeddedAws]:
    """Run the embedded AWS on a free port, its files in `directory`."""
    key = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    for start in range(STARTS):
        port = _free_port()
        endpoint = f"http://127.0.0.1:{port}"
        aws = EmbeddedAws(endpoint, _client_env(endpoint) | key, directory / "embedded-aws.log")
        with supervised([str(MINISTACK)], _server_env(host, port, directory) | key, aws.log) as process:
            if _came_up(aws, process):
                yield aws
                return
        if start == STARTS - 1:
            raise LocalError(f"the embedded AWS did not start:\n{tail(aws.log)}")


def _came_up(aws: EmbeddedAws, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it is ready. It is not if it ended, for instance because another process took the port first."""

    def ready_or_ended() -> bool:
        return process.poll() is not None or _is_ready(aws)

    wait_until(ready_or_ended, START_SECONDS, "the embedded AWS is ready")
    return process.poll() is None


def _is_ready(aws: EmbeddedAws) -> bool:
    try:
        return bool(aws.inspect("ready"))
    except (URLError, OSError, ValueError):
        return False


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
