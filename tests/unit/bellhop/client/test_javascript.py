"""The client for JavaScript: as publishers install it, with Node.js's own test runner.

`make witness` installs the SDK of AWS and TypeScript, for the tests that need them.
"""

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bellhop.event_text import SCHEMA_PATH
from tests.docs.pages import ROOT

SOURCE = ROOT / "infra" / "client-javascript"
INSTALLED = ROOT / ".venv-node" / "node_modules"
TABLE = ROOT / "tests" / "support" / "contract_events.json"
TSC = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck")


def package() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SOURCE / "package.json").read_text())
    return document


@pytest.fixture
def publisher(tmp_path: Path) -> Path:
    """A publisher's folder, in which the client is installed, and its SDK if that is here."""
    if not shutil.which("node"):
        pytest.skip("Node.js is not here")
    client = tmp_path / "node_modules" / "bellhop-client"
    client.mkdir(parents=True)
    for pattern in ("package.json", *package()["files"]):
        for file in SOURCE.glob(pattern):
            shutil.copy(file, client)
    shutil.copytree(SOURCE / "test", tmp_path / "test")
    if (INSTALLED / "@aws-sdk").is_dir():
        (client.parent / "@aws-sdk").symlink_to(INSTALLED / "@aws-sdk")
    return tmp_path


@pytest.fixture
def sdk(publisher: Path) -> None:
    if not (publisher / "node_modules" / "@aws-sdk").exists():
        pytest.skip("the SDK for JavaScript is not installed: `make witness` does that, with Node.js")


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"CONTRACT_EVENTS": str(TABLE)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_judges_events_as_the_client_for_python_does(publisher: Path) -> None:
    run(publisher, "node", "--test", "test/contract.test.js")


def test_it_publishes_in_batches_with_a_result_for_each(publisher: Path, sdk: None) -> None:
    run(publisher, "node", "--test", "test/publisher.test.js")


def test_its_types_are_those_that_a_strict_compiler_takes(publisher: Path, sdk: None) -> None:
    run(publisher, str(INSTALLED / ".bin" / "tsc"), *TSC, "test/usage.ts")


def test_its_schema_is_the_published_one() -> None:
    assert (SOURCE / "issue-event.json").read_text() == SCHEMA_PATH.read_text()


def test_it_has_the_version_of_bellhop_and_needs_the_sdk_alone() -> None:
    assert package()["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert list(package()["peerDependencies"]) == ["@aws-sdk/client-sqs"]
    assert "dependencies" not in package()
