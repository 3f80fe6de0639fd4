from datetime import timedelta

import pytest

from infra.console.errors import ConsoleError
from infra.console.text import duration, first_line, printable, span


def test_control_and_invisible_characters_become_escapes() -> None:
    assert printable("a\x07b\x9bc\u2028d\ud800") == "a\\x07b\\x9bc\\u2028d\\ud800"
    assert printable("plain é 漢") == "plain é 漢"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)],
)
def test_a_span_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert span("--since", text, timedelta(days=30)).total_seconds() == expected


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "31d", "9999999w", "\u0661h"])
def test_what_is_no_span_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(ConsoleError, match="--since"):
        span("--since", text, timedelta(days=30))


def test_no_time_at_all_is_a_span_only_where_it_makes_sense() -> None:
    assert span("--overlap", "0", timedelta(days=7), zero=True) == timedelta(0)
    assert span("--overlap", "0h", timedelta(days=7), zero=True) == timedelta(0)
    with pytest.raises(ConsoleError, match="--overlap 8d is too long: at most 7d"):
        span("--overlap", "8d", timedelta(days=7), zero=True)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (9_000, "2 h 30 min"), (90_061, "1 d 1 h"), (86_430, "1 d")],
)
def test_a_duration_is_read_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
