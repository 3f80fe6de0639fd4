"""The client for Go, by Go's own tests; `make witness` fetches the SDK of AWS that they need."""

import os
import re
import shutil
import subprocess

import pytest

from bellhop.event_text import SCHEMA_PATH
from tests.docs.pages import ROOT

SOURCE = ROOT / "infra" / "client-go"
MODULES = ROOT / ".venv-go"
TABLE = ROOT / "tests" / "support" / "contract_events.json"


def test_it_judges_events_as_the_client_for_python_does_and_publishes_in_batches() -> None:
    if not (shutil.which("go") and (MODULES / ".ready").exists()):
        pytest.skip("the SDK for Go is not here: `make witness` fetches it, with Go")
    fetched = {"GOMODCACHE": str(MODULES), "GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    environment = os.environ | fetched | {"CONTRACT_EVENTS": str(TABLE)}
    for command in (["go", "vet", "./..."], ["go", "test", "-count=1", "./..."]):
        done = subprocess.run(
            command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_schema_is_the_published_one() -> None:
    assert (SOURCE / "issue-event.json").read_text() == SCHEMA_PATH.read_text()


def test_every_module_that_it_needs_is_one_version_with_its_hash() -> None:
    needed = re.findall(r"^\t(\S+ v\S+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    hashes = dict(re.findall(r"^(\S+ v[^\s/]+) (h1:[\w+/]{43}=)$", (SOURCE / "go.sum").read_text(), re.MULTILINE))
    assert needed
    assert set(needed) <= set(hashes)
