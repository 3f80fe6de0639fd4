"""The apps' signing secrets and own headers, and for how long a process goes by what it read."""

import pytest

from bellhop.registry import App, Registry
from bellhop.secrets import SigningSecret
from deliver.attempt.keyring import Keyring
from deliver.attempt.signing import Keys
from tests.support.fakes import app

OLD, NEW = "ab" * 32, "cd" * 32
TOKEN = {"Authorization": "Bearer hunter2"}


class Times:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def keyring(aws: None, times: Times) -> Keyring:
    return Keyring(Registry(60.0, times), times)


@pytest.fixture
def pager() -> App:
    return app()


def test_a_secret_is_read_again_when_its_app_was(keyring: Keyring, pager: App) -> None:
    SigningSecret("pager", secret=OLD).save()
    assert keyring.keys(pager) == Keys(OLD)
    SigningSecret("pager", secret=NEW).save()
    assert keyring.keys(pager) == Keys(OLD)
    assert keyring.keys(app()) == Keys(NEW)


def test_that_an_app_has_no_secret_is_cached_too(keyring: Keyring, pager: App) -> None:
    assert keyring.keys(pager) is None
    SigningSecret("pager", secret=NEW).save()
    assert keyring.keys(pager) is None
    assert keyring.keys(app()) == Keys(NEW)


def test_an_overlap_ends_to_the_second_although_the_secret_is_cached(
    keyring: Keyring, pager: App, times: Times
) -> None:
    SigningSecret("pager", secret=NEW, previous=OLD, previous_until=times.now + 10).save()
    assert keyring.keys(pager) == Keys(NEW, previous=OLD)
    times.now += 10
    assert keyring.keys(pager) == Keys(NEW)


def test_an_app_has_the_headers_that_stand_beside_its_secret(keyring: Keyring, pager: App) -> None:
    SigningSecret("pager", secret=NEW, headers=TOKEN).save()
    assert keyring.keys(pager) == Keys(NEW, headers=TOKEN)


@pytest.mark.parametrize("stale", [None, {"Authorization": "of before"}])
def test_headers_in_the_apps_own_row_were_written_last(keyring: Keyring, stale: dict[str, str] | None) -> None:
    SigningSecret("pager", secret=NEW, headers=stale).save()
    assert keyring.keys(app(headers=TOKEN)) == Keys(NEW, headers=TOKEN)


def test_headers_that_are_moved_are_missing_from_no_webhook(keyring: Keyring) -> None:
    before, after = app(headers=TOKEN), app()
    SigningSecret("pager", secret=NEW).save()
    assert keyring.keys(before) == Keys(NEW, headers=TOKEN)
    SigningSecret("pager", secret=NEW, headers=TOKEN).save()
    assert [keyring.keys(each) for each in (before, after)] == [Keys(NEW, headers=TOKEN)] * 2
