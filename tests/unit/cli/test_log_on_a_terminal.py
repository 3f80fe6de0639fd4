import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from infra.cli.attempt_log import Log
from infra.cli.commands.log import Asked, print_log
from infra.cli.entries import Entry, Source, Wanted
from infra.cli.stack import Stack

DELIVERY = "msg_" + "0123456789abcdef" * 2
EVENT = "8f14e45f-" * 4 + "end"


def shown(width: int, *, several: bool = False, response: str = "it is broken") -> list[str]:
    written = io.StringIO()
    now = datetime.now(UTC)
    due = now + timedelta(hours=2, minutes=59, seconds=30)
    waits = Entry(
        app_id="deploy-bot",
        at=now,
        number=2,
        result="http_500",
        milliseconds=31,
        status=500,
        response=response,
        event="issue.created",
        event_id=EVENT,
        delivery_id=DELIVERY,
        state="retrying",
        request_id="r",
        source=Source(""),
        due=due,
    )
    asked = Asked(["deploy-bot"], None, 50, "1h", None, Wanted())
    since = now - timedelta(hours=1)
    console = Console(file=written, width=width)
    print_log(
        Log((waits,), since, complete=True, reached=since),
        asked,
        None,
        Stack("bellhop", {}, {}),
        console,
        several=several,
    )
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 169, 170, 240])
def test_ids_and_the_next_attempt_are_whole_at_any_width(width: int) -> None:
    written = shown(width)
    for part in (DELIVERY, EVENT, "http_500", "retrying", "in 2 h 59 min", "it is broken"):
        assert sum(part in line for line in written) == 1, part


def test_a_response_without_blanks_ran_over_the_edge() -> None:
    assert sum("aaaa" in line for line in shown(80, response="a" * 300)) == 1
    assert max(map(len, shown(80, response="a" * 300))) <= 80


@pytest.mark.parametrize("width", [40, 80, 140, 170, 240])
def test_the_app_is_shown_where_there_are_several(width: int) -> None:
    assert sum("deploy-bot" in line for line in shown(width, several=True)) == 1
    assert not any("deploy-bot" in line for line in shown(width))


def test_an_attempt_takes_a_few_short_lines_on_a_narrow_terminal_and_one_on_a_wide_one() -> None:
    narrow = shown(80)
    assert len(narrow) == 5 + 1
    assert max(map(len, narrow)) <= 80
    assert len(shown(170)) == 1 + 1 + 1
