from pathlib import Path

import pytest

from infra.local import running
from infra.local.running import AlreadyRunningError, announce, find, reserved

ENV = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "BELLHOP_STACK": "bellhop"}


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(running, "FILE", tmp_path / "new" / "running.json")
    monkeypatch.setattr(running, "LOCK_SECONDS", 0.0)
    return running.FILE


def test_a_stack_is_found_from_its_announcement_until_its_process_ends() -> None:
    assert find() is None
    with reserved():
        assert find() is None
        announce(ENV)
        assert find() == ENV
    assert find() is None


def test_what_a_process_left_that_was_killed_is_no_stack(file: Path) -> None:
    file.parent.mkdir()
    announce(ENV)
    assert find() is None
    with reserved():
        assert find() is None


def test_only_one_process_keeps_a_stack_up() -> None:
    with reserved():
        announce(ENV)
        with pytest.raises(AlreadyRunningError), reserved():
            pass
        assert find() == ENV


def test_nobody_else_may_read_the_credentials(file: Path) -> None:
    with reserved():
        assert file.stat().st_mode & 0o077 == 0
