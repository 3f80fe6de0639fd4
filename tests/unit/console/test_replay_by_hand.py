import json
from datetime import UTC, datetime

import pytest

from bellhop.attempts import EXHAUSTED
from health.messages import Replay
from infra.console import held
from tests.unit.console.cli_runner import bellhop, refused, succeed
from tests.unit.console.failing_app import announced, hold, register, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_what_is_parked_of_an_app_that_is_on_is_sent_in_one_pass() -> None:
    register(generation=3)
    hold(2)
    hold(1, EXHAUSTED)
    before = datetime.now(UTC).timestamp()
    shown = succeed("replay", "pager")
    assert "Kept of pager: 2 parked, 1 exhausted." in shown
    assert "2 kept deliveries follow, oldest first, 10 a second: 1 s." in shown
    (begun,) = announced()
    assert isinstance(begun, Replay)
    assert (begun.app_id, begun.generation, begun.states, begun.rate) == ("pager", 3, ("parked",), 10)
    assert before <= begun.began == begun.settles_at <= datetime.now(UTC).timestamp()
    assert begun.after is None


def test_what_is_exhausted_is_sent_only_on_demand_and_as_fast_as_is_said() -> None:
    register(max_per_second=2)
    hold(4, EXHAUSTED)
    shown = succeed("replay", "pager")
    assert "Nothing of pager is parked: nothing to replay." in shown
    assert "Exhausted: 4 exhausted. bellhop replay pager --exhausted" in shown
    assert announced() == []
    assert "oldest first, 0.5 a second: 8 s." in succeed("replay", "pager", "--exhausted", "--rate", "0.5")
    (begun,) = announced()
    assert isinstance(begun, Replay)
    assert (begun.states, begun.rate) == (("parked", "exhausted"), 0.5)
    document = json.loads(succeed("replay", "pager", "--exhausted", "--json"))
    assert document["held"] == {"exhausted": 4, "complete": True}
    assert (document["started"], document["replay_per_second"]) == (True, 2)


def test_an_app_that_is_off_is_not_replayed_but_enabled() -> None:
    register()
    switch_off()
    hold(2)
    assert "`bellhop enable pager`" in refused("replay", "pager")
    assert announced() == []


@pytest.mark.parametrize("rate", ["0", "-1", "1001", "fast"])
def test_a_rate_is_a_number_above_nothing(rate: str) -> None:
    register()
    assert bellhop("replay", "pager", f"--rate={rate}").exit_code == 2
    assert announced() == []


def test_counting_stops_at_its_bound_and_says_so(aws: None) -> None:
    register()
    hold(5)
    assert held.count("pager", 3) == held.Held({"parked": 3}, complete=False)
    assert held.count("pager", 3).said() == "at least 3 parked"
    assert held.count("pager", 6) == held.Held({"parked": 5}, complete=True)
    assert held.count("other") == held.Held({}, complete=True)
    assert held.count("other").said() == "none"


def test_counting_goes_on_over_its_pages(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.setattr(held, "_PAGE", 2)
    hold(5)
    hold(2, EXHAUSTED)
    assert held.count("pager").said() == "5 parked, 2 exhausted"


def test_more_than_can_be_counted_is_replayed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    hold(3, EXHAUSTED)
    hold(1)
    monkeypatch.setattr(held.count, "__defaults__", (2,))
    shown = succeed("replay", "pager")
    assert "at least 2 exhausted" in shown
    assert len(announced()) == 1
    assert "At least 2 kept deliveries follow" in succeed("replay", "pager", "--exhausted")
