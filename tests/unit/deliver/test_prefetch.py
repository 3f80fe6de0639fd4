"""Whether a batch reads its apps together, and what happens when that fails."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import GetError
from pynamodb.models import Model

from bellhop import circuits, tables
from bellhop.circuits import Circuit
from bellhop.registry import App, Registry
from bellhop.secrets import SigningSecret
from bellhop.tables import ItemKey
from deliver import prefetch
from deliver.attempt.keyring import Keyring
from deliver.attempt.signing import Keys
from deliver.circuit.known import KnownCircuits
from deliver.prefetch import Cache, Prefetch
from tests.support.endpoint import Clock
from tests.support.fakes import SECRET, Recorder, app

NOW, NEW = 1000.0, "ef" * 32


class Caches:
    """The three caches of a process, and what reads ahead for them."""

    def __init__(self, clock: Clock) -> None:
        def seconds() -> float:
            return clock().timestamp()

        self.telemetry = Recorder()
        self.registry = Registry(60.0, seconds)
        self.secrets = Keyring(self.registry, seconds)
        self.circuits = KnownCircuits(60.0, seconds, self.telemetry)
        models: dict[type[Model], Cache] = {
            App: self.registry,
            SigningSecret: self.secrets,
            Circuit: self.circuits,
        }
        self.prefetch = Prefetch(models, tables.connect(retries=0), self.telemetry)


@pytest.fixture
def caches(aws: None, clock: Clock) -> Caches:
    for name in ("pager", "chat"):
        app(name).save()
        SigningSecret(name, secret=SECRET).save()
    circuits.open_circuit("chat", 1, NOW, NOW + 60)
    return Caches(clock)


def known(caches: Caches, *names: str) -> list[Any]:
    """What the caches say of these apps."""
    found = [caches.registry.app(name) for name in names]
    paused = [each and caches.circuits.state(each).paused_since for each in found]
    keys = [each and caches.secrets.keys(each) for each in found]
    return [each and each.name for each in found] + keys + paused


def test_a_batch_of_several_apps_takes_one_read(caches: Caches, dynamodb_calls: list[str]) -> None:
    caches.prefetch.read(["pager", "chat", "pager", "gone"])
    assert known(caches, "pager", "chat") == ["Pager", "Chat", Keys(SECRET), Keys(SECRET), None, NOW]
    assert caches.registry.app("gone") is None
    assert dynamodb_calls == ["BatchGetItem"]
    assert caches.secrets.keys(app("gone")) is None


def test_what_is_known_is_not_read_again_before_its_time_is_over(
    caches: Caches, dynamodb_calls: list[str], clock: Clock
) -> None:
    caches.prefetch.read(["pager"])
    caches.prefetch.read(["pager"])
    assert dynamodb_calls == ["BatchGetItem"]
    clock.move(61)
    caches.prefetch.read(["pager"])
    assert dynamodb_calls == ["BatchGetItem", "BatchGetItem"]


def test_a_single_item_is_left_to_whoever_needs_it(caches: Caches, dynamodb_calls: list[str]) -> None:
    caches.prefetch.read(["pager"])
    caches.circuits.forget("pager")
    caches.prefetch.read(["pager"])
    assert dynamodb_calls == ["BatchGetItem"]


def test_where_the_apps_cannot_be_read_together_each_is_read_alone(
    caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise GetError(cause=ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchGetItem"))

    monkeypatch.setattr(prefetch, "read_at_once", refused)
    caches.prefetch.read(["pager", "chat"])
    assert known(caches, "pager", "chat") == ["Pager", "Chat", Keys(SECRET), Keys(SECRET), None, NOW]
    assert caches.telemetry.logged("apps not read together: each will be read alone") == [{"number": 6}]


def test_what_was_left_unprocessed_is_read_alone(caches: Caches, monkeypatch: pytest.MonkeyPatch) -> None:
    read = tables.read_at_once
    monkeypatch.setattr(
        prefetch,
        "read_at_once",
        lambda keys, connection: {k: item for k, item in read(keys, connection).items() if k.model is not Circuit},
    )
    caches.prefetch.read(["pager", "chat"])
    assert caches.circuits.lacks(ItemKey(Circuit, "chat"))
    assert known(caches, "chat") == ["Chat", Keys(SECRET), NOW]


def test_an_apps_secrets_are_read_whenever_the_app_is(
    caches: Caches, dynamodb_calls: list[str], clock: Clock
) -> None:
    caches.prefetch.read(["pager"])
    found = caches.registry.app("pager")
    assert found
    assert caches.secrets.keys(found) == Keys(SECRET)
    SigningSecret("pager", secret=SECRET, headers={"X-Team": "ops"}).save()
    dynamodb_calls.clear()
    clock.move(61)
    caches.prefetch.read(["pager"])
    again = caches.registry.app("pager")
    assert again
    assert caches.secrets.keys(again) == Keys(SECRET, headers={"X-Team": "ops"})
    assert dynamodb_calls == ["BatchGetItem"]


@pytest.mark.parametrize("refused", [True, False])
def test_a_secret_of_before_its_app_was_read_again_went_on_signing(
    caches: Caches, clock: Clock, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    caches.prefetch.read(["pager"])  # all of it is parked, and no secret is asked for
    SigningSecret("pager", secret=NEW).save()
    clock.move(3 * 3600)
    read = tables.read_at_once

    def without_secrets(keys: Any, connection: Any) -> Any:
        if refused:
            raise GetError
        return {key: item for key, item in read(keys, connection).items() if key.model is not SigningSecret}

    monkeypatch.setattr(prefetch, "read_at_once", without_secrets)
    caches.prefetch.read(["pager"])
    assert known(caches, "pager") == ["Pager", Keys(NEW), None]


def test_an_app_whose_time_ends_within_a_batch_is_not_signed_with_what_was_read_before(
    caches: Caches, clock: Clock
) -> None:
    caches.prefetch.read(["pager"])
    SigningSecret("pager", secret=NEW).save()
    clock.move(59.9)
    caches.prefetch.read(["pager"])
    clock.move(0.2)
    assert known(caches, "pager") == ["Pager", Keys(NEW), None]


def test_what_is_left_out_is_not_asked_for(caches: Caches, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, read = list[set[type[Model]]](), tables.read_at_once

    def noting(keys: Any, connection: Any) -> Any:
        asked.append({key.model for key in keys})
        return read(keys, connection)

    monkeypatch.setattr(prefetch, "read_at_once", noting)
    caches.prefetch.read(["pager", "chat"], [Circuit])
    assert asked == [{App, SigningSecret}]
