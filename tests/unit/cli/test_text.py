import pytest

from bellhop.text import printable
from infra.cli.text import duration, first_line


def test_control_and_invisible_characters_become_escapes() -> None:
    assert printable("a\x07b\x9bc\u2028d\ud800") == "a\\x07b\\x9bc\\u2028d\\ud800"
    assert printable("plain é 漢") == "plain é 漢"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (9_000, "2 h 30 min"), (90_061, "1 d 1 h"), (86_430, "1 d")],
)
def test_a_duration_is_read_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
