import json
from datetime import UTC, datetime

import pytest

from bellhop import circuits
from bellhop.attempts import EXHAUSTED
from bellhop.replays import Replay
from infra.cli.views import count_replayable
from tests.unit.cli.cli_runner import bellhop, refused, succeed
from tests.unit.cli.failing_app import add_replayable, announced, register, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_what_is_parked_of_an_app_that_is_on_is_sent_in_one_pass() -> None:
    register(generation=3)
    add_replayable(2)
    add_replayable(1, EXHAUSTED)
    before = datetime.now(UTC).timestamp()
    shown = succeed("replay", "pager")
    assert "Replayable of pager: 2 parked, 1 exhausted." in shown
    assert "2 deliveries follow, oldest first, 10 a second: 1 s." in shown
    (begun,) = announced()
    assert isinstance(begun, Replay)
    assert (begun.app_id, begun.generation, begun.states, begun.rate) == ("pager", 3, ("parked",), 10)
    assert before <= begun.began == begun.settles_at <= datetime.now(UTC).timestamp()
    assert begun.after is None


def test_what_is_exhausted_is_sent_only_on_demand_and_as_fast_as_is_said() -> None:
    register(max_per_second=2)
    add_replayable(4, EXHAUSTED)
    shown = succeed("replay", "pager")
    assert "Nothing of pager is parked: nothing to replay." in shown
    assert "Exhausted: 4 exhausted. bellhop replay pager --exhausted" in shown
    assert announced() == []
    assert "oldest first, 0.5 a second: 8 s." in succeed("replay", "pager", "--exhausted", "--rate", "0.5")
    (begun,) = announced()
    assert isinstance(begun, Replay)
    assert (begun.states, begun.rate) == (("parked", "exhausted"), 0.5)
    document = json.loads(succeed("replay", "pager", "--exhausted", "--json"))
    assert document["replayable"] == {"exhausted": 4, "complete": True}
    assert (document["started"], document["replay_per_second"]) == (True, 2)


def test_an_app_that_is_off_is_not_replayed_but_enabled() -> None:
    register()
    switch_off()
    add_replayable(2)
    assert "`bellhop enable pager`" in refused("replay", "pager")
    assert announced() == []


def test_an_app_that_is_paused_is_not_replayed_as_all_of_it_would_be_parked_again() -> None:
    register(generation=3)
    circuits.open_circuit("pager", 3, 0.0, 30.0)
    add_replayable(2)
    assert "pager is paused" in refused("replay", "pager", "--exhausted")
    assert announced() == []


@pytest.mark.parametrize("rate", ["0", "-1", "1001", "fast"])
def test_a_rate_is_a_number_above_nothing(rate: str) -> None:
    register()
    assert bellhop("replay", "pager", f"--rate={rate}").exit_code == 2
    assert announced() == []


def test_more_than_can_be_counted_is_replayed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    add_replayable(3, EXHAUSTED)
    add_replayable(1)
    monkeypatch.setattr(count_replayable, "__defaults__", (2,))
    shown = succeed("replay", "pager")
    assert "at least 1 parked, 1 exhausted" in shown
    assert len(announced()) == 1
    assert "At least 2 deliveries follow" in succeed("replay", "pager", "--exhausted")
