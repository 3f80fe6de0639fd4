import dataclasses
import json
from datetime import UTC, datetime

import pytest

from bellhop import circuits
from bellhop.attempts import EXHAUSTED
from bellhop.replays import Replay
from infra.cli.commands import replay
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


def test_a_replay_of_a_common_app_was_said_to_be_oldest_first() -> None:
    register(kind="published")
    add_replayable(2)
    shown = succeed("replay", "pager")
    assert "2 deliveries follow, what each organisation has first before the rest, 10 a second: 1 s." in shown


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


# ---- Watching and stopping


def test_a_replay_is_watched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    app = register()
    add_replayable(3)
    now = datetime.now(UTC).timestamp()
    circuits.note_replay("pager", now + 900, now - 60, 100, 10.0)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            circuits.end_replay("pager", now - 60, 103, now)

    found = list(replay.follow(app, lambda: datetime.now(UTC), sleep))
    assert [(each.sent, each.parked, each.goes_on) for each in found] == [(100, 3, True), (103, 3, False)]
    assert "3 parked, 10 a second: about 1 s." in replay.progress_text("pager", found[0])
    nothing_left = replay.progress_text("pager", dataclasses.replace(found[0], parked=0))
    assert "0 parked; it ends once all is sent" in nothing_left  # it was to take a second, and took half a minute
    assert replay.progress_text("pager", found[1]).startswith("Replay of pager over at ")
    assert "over at" in succeed("replay", "pager", "--watch")
    assert json.loads(succeed("replay", "pager", "--watch", "--json"))["sent"] == 103


def test_one_that_ended_before_everything_was_sent_says_why() -> None:
    app = register()
    add_replayable(3)
    now = datetime.now(UTC).timestamp()
    circuits.end_replay("pager", now - 60, 0, now, "the app is paused; the rest stays replayable")
    said = succeed("replay", "pager", "--watch")
    assert "3 parked. Why: the app is paused; the rest stays replayable." in said
    circuits.note_replay("pager", now + 900, now, 0, 10.0)
    assert replay.read_progress(app, datetime.now(UTC)).reason is None
    circuits.end_replay("pager", now, 3, now + 1)
    assert "Why" not in succeed("replay", "pager", "--watch")


def test_without_a_replay_there_is_nothing_to_watch() -> None:
    register()
    add_replayable(2)
    assert "No replay of pager has begun: 2 parked." in succeed("replay", "pager", "--watch")
    assert announced() == []


def test_one_whose_messages_are_lost_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    now = datetime.now(UTC).timestamp()
    circuits.note_replay("pager", now - 1, now - 8000, 100, 10.0)
    assert "Replay of pager is lost, see `bellhop dead-letters list`" in succeed("replay", "pager", "--watch")


def test_a_replay_is_stopped_and_a_later_one_is_not() -> None:
    app = register()
    add_replayable(2)
    ahead = datetime.now(UTC).timestamp() + 20  # by the clock of whoever began it
    circuits.note_replay("pager", ahead + 900, ahead, 100, 10.0)
    shown = succeed("replay", "pager", "--stop")
    assert "Stopped: pager is replayed no further. 2 are still parked." in shown
    stopped = replay.read_progress(app, datetime.now(UTC))
    assert replay.progress_text("pager", stopped).endswith("2 parked; it ends at its next page.")
    assert "To go on: bellhop replay pager" in shown
    assert circuits.replays_stopped(circuits.load("pager")) >= ahead
    succeed("replay", "pager")
    (begun,) = announced()
    assert isinstance(begun, Replay)
    assert begun.started > circuits.replays_stopped(circuits.load("pager"))


@pytest.mark.parametrize("options", [["--watch", "--stop"], ["--stop", "--rate", "5"], ["--watch", "--exhausted"]])
def test_watching_and_stopping_begin_nothing(options: list[str]) -> None:
    register()
    assert bellhop("replay", "pager", *options).exit_code == 2
    assert announced() == []
