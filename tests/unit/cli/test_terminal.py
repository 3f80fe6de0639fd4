import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from bellhop.outcomes import COUNTERS
from infra.cli.errors import CommandError
from infra.cli.terminal import cell, labelled, line, named, read_duration, read_moment, table

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
MONTH = timedelta(days=30)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", datetime(2026, 11, 27, 12, 15, tzinfo=UTC)),
        ("12:00", datetime(2026, 11, 27, 12, 0, tzinfo=UTC)),
        ("12:29:59", datetime(2026, 11, 27, 12, 29, 59, tzinfo=UTC)),
        ("12:31", datetime(2026, 11, 26, 12, 31, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T08:15", datetime(2026, 11, 20, 8, 15, tzinfo=UTC)),
        ("2026-11-20 08:15:30", datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
        ("2026-11-20T08:15:30Z", datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_so_long_ago_or_a_time_of_day_that_is_past_or_a_date(text: str, expected: datetime) -> None:
    assert read_moment("--since", text, NOW, MONTH) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("noon", "is not a time: write 90s"),
        ("25:00", "is not a time"),
        ("2026-11-28", "is in the future: it is 2026-11-27 12:30 UTC"),
        ("2026-01-01", "is too long ago: at most 30d"),
        ("31d", "is too long: at most 30d"),
    ],
)
def test_what_is_no_moment_is_refused(text: str, why: str) -> None:
    with pytest.raises(CommandError, match=f"--since .*{why}"):
        read_moment("--since", text, NOW, MONTH)


def on_a_terminal(width: int) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=width), written


def test_a_line_goes_on_below_between_words_at_its_indent() -> None:
    console, written = on_a_terminal(30)
    labelled(console, "circuit", "paused since noon; next trial in 4 s")
    line(console, "    msg_" + "0" * 32)
    assert written.getvalue().splitlines() == [
        "    circuit    paused since",
        "               noon; next",
        "               trial in 4 s",
        "    msg_" + "0" * 32,
    ]


@pytest.mark.parametrize("width", [30, 50, 80, 140])
def test_no_word_of_a_table_is_ever_broken(width: int) -> None:
    console, written = on_a_terminal(width)
    app, hook = "backend-board-of-acme", "backend-board-at-acme-hook"
    table(console, ("app", "installation", "events"), [(app, hook, "issue.created, issue.resolved")])
    for word in (app, hook, "issue.created,", "issue.resolved"):
        assert word in written.getvalue().split()


def test_a_pipe_gets_each_line_whole() -> None:
    written = io.StringIO()
    line(Console(file=written, width=20, soft_wrap=True), "word " * 20)
    assert len(written.getvalue().splitlines()) == 1


def test_a_number_was_parted_from_its_unit() -> None:
    console, written = on_a_terminal(30)
    line(console, "first attempts waited for 9.3 s (99 %) and 30 min.")
    assert written.getvalue().splitlines() == ["first attempts waited for", "9.3 s (99 %) and 30 min."]


@pytest.mark.parametrize("width", range(30, 60))
def test_a_table_parted_a_number_from_its_unit(width: int) -> None:
    console, written = on_a_terminal(width)
    table(console, ("app", "stands"), [("pager", "paused since noon, next trial in 4 s or 30 min (50 %)")])
    assert all(part in written.getvalue() for part in ("4 s", "30 min", "(50 %)"))


@pytest.mark.parametrize("width", range(10, 30))
def test_a_value_was_parted_from_its_name(width: int) -> None:
    console, written = on_a_terminal(width)
    line(console, cell("first  ") + named("event", cell("e-1")) + cell("  of it"))
    assert "event e-1" in written.getvalue()


def test_a_value_behind_its_name_is_copied_with_a_plain_blank() -> None:
    written = io.StringIO()
    line(Console(file=written, width=20, soft_wrap=True), named("event", cell("e-1")))
    assert written.getvalue() == "event e-1\n"


def test_a_secret_that_is_wider_than_the_terminal_ran_over_its_edge_by_its_margin_too() -> None:
    console, written = on_a_terminal(80)
    line(console, f"    Standard Webhooks  whsec_{'a' * 88}", indent=4)
    assert written.getvalue().splitlines() == ["    Standard Webhooks", f"whsec_{'a' * 88}"]


@pytest.mark.parametrize("width", range(70, 130))
def test_a_heading_was_broken_where_the_columns_just_fit(width: int) -> None:
    console, written = on_a_terminal(width)
    columns = ("organisation", "day (UTC)", *COUNTERS, "the stack's thresholds", "yours")
    table(console, columns, [("acme", "2026-11-28", "0", "3", "2", "0", "", "off: timeouts_per_day")])
    assert "organisatio" not in written.getvalue().split()
    assert max(map(len, written.getvalue().splitlines())) <= width


def test_a_column_that_needs_little_gets_it_before_a_sentence() -> None:
    console, written = on_a_terminal(40)
    table(console, ("app", "name", ""), [("pager", "The old pager", "paused since noon, next trial in 4 s")])
    assert written.getvalue().splitlines()[1].startswith("pager  The old pager  paused since noon")


def test_a_sentence_was_shown_as_a_column_of_words() -> None:
    console, written = on_a_terminal(40)
    table(console, ("app", "stands", ""), [("on-call-pager-of-acme", "paused", "it was paused as it failed " * 4)])
    assert written.getvalue().splitlines()[0] == "on-call-pager-of-acme  stands paused  it"


def test_the_columns_of_a_table_may_take_the_whole_width() -> None:
    console, written = on_a_terminal(20)
    table(console, ("app", "kind"), [("123456789", "abcdefghi")])
    assert written.getvalue().splitlines()[1] == "123456789  abcdefghi"
    table(console, ("app",), [("a",)])
    assert written.getvalue().splitlines()[-1].strip() == "a"
