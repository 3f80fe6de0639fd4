from dataclasses import dataclass

import pytest

from bellhop.settings import SettingsError, load


@dataclass(frozen=True)
class Chosen:
    table: str
    seconds: float
    number: int
    flag: bool
    delays: tuple[int, ...]


GOOD = {"TABLE": "t", "SECONDS": "1.5", "NUMBER": "3", "FLAG": "true", "DELAYS": "5,60"}


def test_every_field_is_read_as_its_type() -> None:
    assert load(Chosen, GOOD) == Chosen("t", 1.5, 3, flag=True, delays=(5, 60))


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(Chosen, {k: v for k, v in GOOD.items() if k != name})


@pytest.mark.parametrize(
    ("name", "value"), [("SECONDS", "x"), ("NUMBER", "1.5"), ("FLAG", "yes"), ("DELAYS", "5,")]
)
def test_a_malformed_variable_is_named_with_what_it_should_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*which is not"):
        load(Chosen, GOOD | {name: value})
