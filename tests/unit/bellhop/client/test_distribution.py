"""The client as publishers install it: with boto3, and nothing else of Bellhop or its libraries."""

import json
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.local.build import ROOT
from tests.support.fakes import issue_event

SOURCE = ROOT / "infra" / "client"
OF_BOTO3 = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3")
IN_A_BARE_PYTHON = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from bellhop.client import Publisher, check
print(json.dumps([str(fault) for fault in check(json.loads(sys.argv[3]))]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(folder), str(SOURCE)], check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def test_it_needs_boto3_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    assert [line for line in lines if line.startswith("Requires-Dist")] == ["Requires-Dist: boto3"]


def test_it_works_with_nothing_else_importable(wheel: Path, tmp_path: Path) -> None:
    alone, libraries = tmp_path / "alone", tmp_path / "libraries"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(alone)
    libraries.mkdir()
    for name in (*OF_BOTO3, "six"):
        found = find_spec(name)
        assert found
        assert found.origin
        origin = Path(found.origin)
        origin = origin.parent if origin.name == "__init__.py" else origin
        (libraries / origin.name).symlink_to(origin)
    event = json.dumps(issue_event(type="x"))
    command = [sys.executable, "-I", "-S", "-c", IN_A_BARE_PYTHON, str(alone), str(libraries), event]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    [fault] = json.loads(run.stdout)
    assert fault.startswith('type: is "x", which is none of created')


def test_it_has_the_version_of_bellhop() -> None:
    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in (
        SOURCE / "pyproject.toml", ROOT / "pyproject.toml",
    )}  # fmt: skip
    assert len(versions) == 1
