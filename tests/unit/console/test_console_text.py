from datetime import timedelta

import pytest

from infra.console.errors import ConsoleError
from infra.console.text import first_line, printable, span


def test_control_and_invisible_characters_become_escapes() -> None:
    assert printable("a\x07b\x9bc\u2028d\ud800") == "a\\x07b\\x9bc\\u2028d\\ud800"
    assert printable("plain é 漢") == "plain é 漢"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)],
)
def test_a_span_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert span(text, timedelta(days=30)).total_seconds() == expected


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "31d", "9999999w", "\u0661h"])
def test_what_is_no_span_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(ConsoleError, match="--since"):
        span(text, timedelta(days=30))
