from datetime import timedelta

import pytest

from infra.cli.errors import CommandError
from infra.cli.terminal import read_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: int) -> None:
    assert read_duration("--since", text, timedelta(days=30)).total_seconds() == expected


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "31d", "9999999w", "\u0661h"])
def test_what_is_no_duration_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--since"):
        read_duration("--since", text, timedelta(days=30))


def test_no_time_at_all_is_a_duration_only_where_it_makes_sense() -> None:
    assert read_duration("--overlap", "0", timedelta(days=7), zero=True) == timedelta(0)
    assert read_duration("--overlap", "0h", timedelta(days=7), zero=True) == timedelta(0)
    with pytest.raises(CommandError, match="--overlap 8d is too long: at most 7d"):
        read_duration("--overlap", "8d", timedelta(days=7), zero=True)
