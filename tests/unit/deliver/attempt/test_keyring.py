"""The apps' signing secrets, and for how long a process goes by what it read."""

import pytest

from bellhop.secrets import SigningSecret
from deliver.attempt.keyring import Keyring
from deliver.attempt.signing import Keys

OLD, NEW = "ab" * 32, "cd" * 32


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
    return Keyring(60.0, times, times)


def test_a_secret_is_read_again_when_its_time_in_the_cache_is_over(keyring: Keyring, times: Times) -> None:
    SigningSecret("pager", secret=OLD).save()
    assert keyring.keys("pager") == Keys(OLD)
    SigningSecret("pager", secret=NEW).save()
    assert keyring.keys("pager") == Keys(OLD)
    times.now += 60
    assert keyring.keys("pager") == Keys(NEW)


def test_that_an_app_has_no_secret_is_cached_too(keyring: Keyring, times: Times) -> None:
    assert keyring.keys("pager") is None
    SigningSecret("pager", secret=NEW).save()
    assert keyring.keys("pager") is None
    times.now += 60
    assert keyring.keys("pager") == Keys(NEW)


def test_an_overlap_ends_to_the_second_although_the_secret_is_cached(keyring: Keyring, times: Times) -> None:
    SigningSecret("pager", secret=NEW, previous=OLD, previous_until=times.now + 10).save()
    assert keyring.keys("pager") == Keys(NEW, previous=OLD)
    times.now += 10
    assert keyring.keys("pager") == Keys(NEW)
