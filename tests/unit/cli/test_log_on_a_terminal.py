import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from infra.cli.attempt_log import Log
from infra.cli.commands.log import Asked, print_log
from infra.cli.entries import Entry, Source, Wanted
from infra.cli.stack import Stack

DELIVERY = "msg_" + "0123456789abcdef" * 2
EVENT = "8f14e45f-" * 4 + "end"


def shown(width: int, *, several: bool = False, response: str = "it is broken", **changed: Any) -> list[str]:
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
        Log((replace(waits, **changed),), since, complete=True, reached=since),
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


WITHOUT_ATTEMPT: dict[str, Any] = {"number": 0, "milliseconds": None, "status": None, "response": "", "due": None}


@pytest.mark.parametrize("width", [80, 240])
def test_what_was_parked_without_an_attempt_was_told_as_attempt_0_parked_parked(width: int) -> None:
    written = "\n".join(shown(width, result="parked", state="parked", **WITHOUT_ATTEMPT))
    assert written.count("parked") == 1
    assert "none yet" in written or "no attempt yet" in written
    assert "attempt 0" not in written
    assert "0 attempts since " in written


def test_a_delivery_that_was_resent_and_waits_for_that_says_both() -> None:
    [first, *_] = shown(120, result="deferred", resent=True, **WITHOUT_ATTEMPT)
    assert first.endswith("  no attempt yet, resent  deferred  retrying")


@pytest.mark.parametrize("width", range(40, 130))
def test_a_label_of_an_attempt_was_parted_from_its_value(width: int) -> None:
    ends = {line.split()[-1] for line in shown(width) if line.strip()}
    assert ends.isdisjoint({"attempt", "event", "next"})
