"""docs/bundle.md says what is in the bundle, and every lock says by hash what may be installed."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.docs import bundle
from tests.docs.bundle import MARK, PAGE
from tests.docs.pages import ROOT

LOCKS = sorted([*ROOT.glob("requirements*.txt"), bundle.LOCK])
NODE_LOCK = ROOT / "tests" / "witness" / "package-lock.json"
LICENCES = {
    "Apache-2.0",
    "BSD-3-Clause",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
}  # each asks for what bundle.md says, or less
LAMBDA_BYTES = 250_000_000  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


def requirements(lock: Path) -> list[str]:
    """The lock's requirements, each with its hashes on one line."""
    lines = lock.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def test_the_table_is_as_it_is_computed_now() -> None:
    page = PAGE.read_text()
    assert len(MARK.findall(page)) == 1
    assert bundle.written(page) == page, "run python -m tests.docs.bundle"


def test_a_table_that_is_out_of_date_is_noticed() -> None:
    page = PAGE.read_text()
    assert bundle.written(page.replace("| MIT |", "| ISC |", 1)) == page


def test_every_licence_of_the_bundle_is_one_that_somebody_has_looked_at() -> None:
    for package in bundle.packages():
        assert set(re.split(" (?:AND|OR) ", package.licence)) <= LICENCES, package


def test_the_licence_files_that_are_to_be_kept_are_in_the_packages() -> None:
    for package in bundle.packages():
        files = distribution(package.name).files or ()
        assert any(re.match(r"LICEN[CS]E|COPYING", file.name) for file in files), package.name


def test_the_bundle_leaves_room_for_machine_code_and_bytecode() -> None:
    assert 3 * sum(package.bytes for package in bundle.packages()) < LAMBDA_BYTES


def test_there_is_a_lock_for_each_environment() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for lock in (*LOCKS, NODE_LOCK):
        assert f"`{lock.relative_to(ROOT)}`" in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.relative_to(ROOT).as_posix())
def test_every_requirement_of_a_lock_is_one_version_with_its_hashes(lock: Path) -> None:
    found = requirements(lock)
    assert found
    for requirement in found:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,-]+\])?==\S+ ", requirement), requirement
        hashes = re.findall(r"--hash=(\w+):(\w+)", requirement)
        assert hashes, requirement
        assert all(kind == "sha256" and re.fullmatch("[0-9a-f]{64}", value) for kind, value in hashes), requirement


def test_every_package_of_the_witness_is_one_version_with_its_hash_and_no_place_to_get_it_from() -> None:
    packages = json.loads(NODE_LOCK.read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    for name, package in installed.items():
        assert re.fullmatch(r"sha512-[\w+/]{86}==", package["integrity"]), name
        assert "resolved" not in package, name
