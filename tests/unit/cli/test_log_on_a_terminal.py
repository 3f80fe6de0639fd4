import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from infra.cli.attempt_log import Entry, Log, Wanted
from infra.cli.commands.log import Asked, print_log

DELIVERY = "msg_" + "0123456789abcdef" * 2
EVENT = "8f14e45f-" * 4 + "end"


def shown(width: int) -> list[str]:
    written = io.StringIO()
    now = datetime.now(UTC)
    due = now + timedelta(hours=2, minutes=59, seconds=30)
    waits = Entry(
        now, 2, "http_500", 31, 500, "it is broken", "issue.created", EVENT, DELIVERY, "retrying", "r", due
    )
    asked = Asked("pager", 50, "1h", None, Wanted())
    print_log(Log((waits,), now - timedelta(hours=1), complete=True), asked, Console(file=written, width=width))
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 169, 170, 240])
def test_ids_and_the_next_attempt_are_whole_at_any_width(width: int) -> None:
    written = shown(width)
    for part in (DELIVERY, EVENT, "http_500", "retrying", "in 2 h 59 min", "it is broken"):
        assert sum(part in line for line in written) == 1, part


def test_an_attempt_takes_a_few_short_lines_on_a_narrow_terminal_and_one_on_a_wide_one() -> None:
    narrow = shown(80)
    assert len(narrow) == 5 + 1
    assert max(map(len, narrow)) <= 80
    assert len(shown(170)) == 1 + 1 + 1
