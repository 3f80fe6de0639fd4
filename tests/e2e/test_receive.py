"""The commands of README.md by which a newcomer gets their first own webhook, with the stack of the tests."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bellhop.registry import App
from infra.local import running
from infra.local.build import ROOT
from infra.local.demo_run import EXAMPLE
from tests.e2e.conftest import Tenant
from tests.support.signals import interruptible

pytestmark = pytest.mark.stack

# The command with another place for what `make run` announces, so that one that is up stays out of it.
COMMAND = """
import pathlib, sys
from infra.local import running
running.FILE = pathlib.Path(sys.argv.pop(1))
from infra.cli.main import app
app()
"""


@pytest.fixture
def announced(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(running, "FILE", tmp_path / "running.json")
    with running.reserved():
        running.announce(tenant.stack.env)
        yield running.FILE


def command(file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, str(file), *arguments]


@pytest.mark.parametrize(
    ("signature", "lines", "verified"),
    [("hmac", 7, "both signatures verify"), ("ed25519", 6, "the signature verifies")],
)
def test_a_newcomer_receives_what_they_publish_until_ctrl_c(
    announced: Path, signature: str, lines: int, verified: str
) -> None:
    environment = {"AWS_PROFILE": "prod-of-somebody", "PATH": "/usr/bin:/bin"}
    with interruptible():
        receiving = subprocess.Popen(
            command(announced, "receive", "--port", "0", "--app", f"my-{signature}", "--signature", signature),
            stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
    try:
        assert receiving.stdout
        introduction = receiving.stdout.readline()
        assert introduction.startswith("Receiving at http://127.0.0.1:")
        published = subprocess.run(
            command(announced, "publish", str(EXAMPLE), "--stack", "local"),
            capture_output=True, text=True, check=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        assert published.stderr.startswith("local stack, at http://127.0.0.1:")
        arrived = [line for line, _ in zip(receiving.stdout, range(lines), strict=False)][-2:]
        assert "issue.created  msg_" in arrived[0]
        assert arrived[1].strip() == verified
        assert App.get(f"my-{signature}").url in introduction
        receiving.send_signal(signal.SIGINT)
        assert receiving.wait(30) == 0
    finally:
        receiving.kill()
        receiving.wait()
        receiving.stdout.close() if receiving.stdout else None
