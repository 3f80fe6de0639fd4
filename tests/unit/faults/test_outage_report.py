"""The tables that the figures of an outage become."""

import json
from typing import Any

import pytest

from tests.faults.outage_parts import PARTS
from tests.faults.outage_report import STORED, tables

DELAYS = {"number": 10, "p50": 0.04, "p99": 190.4, "longest": 791.0}
RESULT: dict[str, Any] = {
    "seconds": 600.0,
    "events": 900,
    "calls_failed": 1234,
    "redriven": 3,
    "follow_ups_finished": 0,
    "mails": {"due": 4, "got": 4, "twice": 0, "never": 0, "resent": 1},
    "counted": {"success": 99, "failure": 7},
    "given": {"success": 100, "failure": 8},
    "paused": 0,
    "off": 0,
    "retired_off": 2,
    "warned": 0,
    "ends": {"delivered": 5400},
    "ends_retired": {"delivered": 700, "parked": 1100},
    "duplicates": 2,
    "during": DELAYS,
    "after": {"number": 0},
    "recovery": 191.2,
    "busiest_before": {"1 s": 2.0, "10 s": 2.0},
    "busiest_after": {"1 s": 20.0, "10 s": 6.1},
}


def row(result: dict[str, Any], table: int) -> dict[str, str]:
    head, _, cells = tables({"dynamodb": result}).split("\n\n")[table].split("\n")
    return dict(zip(head.strip("| ").split(" | "), cells.strip("| ").split(" | "), strict=True))


def test_every_delivery_is_in_the_first_table() -> None:
    found = row(RESULT, 0)
    assert found["deliveries"] == "7,200"
    assert found["delivered, to apps that stay"] == "5,400 of 5,400"
    assert found["to apps that retire"] == "700 delivered, 1,100 parked"
    assert (found["lost"], found["redriven"], found["duplicates"]) == ("0", "3", "2")


def test_a_delivery_without_any_trace_is_shown_as_lost() -> None:
    assert row(RESULT | {"ends": {"delivered": 1, "lost": 2}, "ends_retired": {"lost": 3}}, 0)["lost"] == "5"


def test_delays_are_shown_in_seconds_and_a_span_in_which_nothing_arrived_without() -> None:
    found = row(RESULT, 1)
    assert found["published during it: p50, p99, longest"] == "0.04 s, 190 s, 791 s"
    assert found["after it"] == "-"
    assert found["busiest second of an app: before, after"] == "2, 20"


@pytest.mark.parametrize(("recovery", "shown"), [(None, "never"), (0.0, "0.00 s"), (191.2, "191 s")])
def test_what_never_recovered_is_not_shown_as_no_time(recovery: float | None, shown: str) -> None:
    assert row(RESULT | {"recovery": recovery}, 1)["recovered after"] == shown


def test_what_was_charged_stands_beside_what_the_endpoints_did() -> None:
    found = row(RESULT, 2)
    assert (found["successes counted"], found["failures counted"]) == ("99 of 100", "7 of 8")
    assert found["mails due, sent, twice, never"] == "4, 4, 0, 0"


def test_the_stored_figures_are_of_parts_that_exist() -> None:
    assert json.loads(STORED.read_text()).keys() <= PARTS.keys()
