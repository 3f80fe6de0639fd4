"""What a function loads when it starts, since Lambda charges for that: no library that only another one needs."""

import json
import subprocess
import sys

import pytest

from infra.local.build import ROOT

LOADED = "import json, sys; sys.path[:0] = [sys.argv[1]]; import {}.app; print(json.dumps([*sys.modules]))"


@pytest.mark.parametrize(
    ("function", "spared"),
    [
        ("notify", {"requests", "greenlet", "jinja2"}),
        ("deliver", {"fastjsonschema", "bellhop.events", "jinja2", "nacl", "cffi"}),
        ("health", {"requests", "greenlet", "fastjsonschema"}),
    ],
)
def test_a_function_loads_no_library_that_only_another_one_needs(function: str, spared: set[str]) -> None:
    command = [sys.executable, "-c", LOADED.format(function), str(ROOT / "functions")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert f"{function}.app" in loaded
    assert loaded & spared == set()
