"""Replay: everything that is held goes out again, oldest first, at its rate, and the chain ends when it should."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import attempts, deliveries
from bellhop.attempts import EXHAUSTED, PARKED, NextState
from bellhop.queues import OutgoingMessage
from bellhop.registry import App
from health import messages
from health.messages import Replay
from health.replay import ReplayDependencies, ReplayError, next_step, step
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, Recorder, app, delivery

START = NOW.timestamp()
SETTLES = START + 90
FIRST = Replay("pager", 3, (PARKED,), 10.0, SETTLES, START)


@dataclass
class Lane:
    """The Retries and the Transitions queue; `refuses` positions of the next reminders."""

    clock: Clock = field(default_factory=Clock)
    reminders: list[OutgoingMessage] = field(default_factory=list)
    chain: list[tuple[Replay, int]] = field(default_factory=list)
    refuses: set[int] = field(default_factory=set)
    telemetry: Recorder = field(default_factory=Recorder)

    def take(self, messages: Any) -> set[int]:
        self.reminders += [m for n, m in enumerate(messages) if n not in self.refuses]
        return self.refuses

    def deps(self) -> ReplayDependencies:
        return ReplayDependencies(self.take, lambda m, d: self.chain.append((m, d)), self.telemetry, self.clock)

    def run(self, message: Replay = FIRST) -> None:
        """Work the chain off, as time passes."""
        self.chain.append((message, 0))
        while self.chain:
            following, delay = self.chain.pop(0)
            self.clock.move(delay)
            step(messages.decode(messages.encode(following)), self.deps())  # type: ignore[arg-type]

    def ids(self) -> list[str]:
        return [deliveries.decode(m.body).delivery_id for m in self.reminders]


@pytest.fixture
def lane(aws: None) -> Lane:
    app(generation=3).save()
    return Lane()


def hold(number: int, state: str = PARKED, at: float = 0.0) -> str:
    name = f"msg_{number:032d}"
    moment = NOW + timedelta(seconds=at or number - 10_000)
    assert attempts.open_record(delivery(delivery_id=name, event_id=f"ev{number}"), NextState(state), moment)
    return name


def test_what_is_parked_is_sent_oldest_first_each_once(lane: Lane) -> None:
    names = [hold(n) for n in range(250)]
    lane.run()
    assert lane.ids() == names
    first = deliveries.decode(lane.reminders[0].body)
    assert first == deliveries.Retry(names[0], "pager", 1, replay=True)
    assert lane.telemetry.counts == {"DeliveryReplayed": 250, "ReplayFinished": 1}


def test_the_page_is_spread_over_the_time_that_its_rate_takes(lane: Lane) -> None:
    for n in range(101):
        hold(n)
    step(FIRST, lane.deps())
    assert [m.delay for m in lane.reminders[::20]] == [0, 2, 4, 6, 8]
    [(following, wait)] = lane.chain
    assert (following.sent, wait) == (100, 10)


def test_an_app_that_is_slow_by_its_own_limit_is_replayed_at_that(lane: Lane) -> None:
    app(generation=3, max_per_second=2).save()
    for n in range(4):
        hold(n)
    step(FIRST, lane.deps())
    assert [m.delay for m in lane.reminders] == [0, 0, 1, 1]


def test_exhausted_deliveries_are_replayed_only_where_they_are_asked_for(lane: Lane) -> None:
    parked, exhausted = hold(1), hold(2, EXHAUSTED)
    lane.run()
    assert lane.ids() == [parked]
    lane.run(replace(FIRST, states=(PARKED, EXHAUSTED), began=SETTLES))
    assert lane.ids() == [parked, exhausted]


def test_what_is_exhausted_again_by_its_replay_is_not_replayed_again(lane: Lane) -> None:
    hold(1, EXHAUSTED)
    again = hold(2, EXHAUSTED, at=60)  # held after the replay began
    lane.run(replace(FIRST, states=(EXHAUSTED,), settles_at=START))
    assert again not in lane.ids()
    assert lane.telemetry.counts == {"DeliveryReplayed": 1, "ReplayFinished": 1}


def test_what_is_parked_while_the_replay_runs_is_sent_too(lane: Lane) -> None:
    first = hold(1)
    step(FIRST, lane.deps())
    late = hold(2, at=5)  # by a process that still knew the app as off
    message, delay = lane.chain.pop()
    lane.clock.move(delay)
    lane.run(message)
    assert lane.ids() == [first, late]


def test_the_chain_does_not_end_before_nobody_parks_any_more(lane: Lane) -> None:
    lane.run()
    assert lane.clock.now.timestamp() >= SETTLES


def test_a_page_that_is_sent_again_after_a_crash_leaves_nothing_out(lane: Lane) -> None:
    names = [hold(n) for n in range(3)]
    lane.refuses = {1}
    with pytest.raises(ReplayError):
        step(FIRST, lane.deps())
    assert (lane.ids(), lane.chain) == ([names[0], names[2]], [])
    lane.refuses = set()
    lane.run()
    assert lane.ids() == [names[0], names[2], names[1]]


@pytest.mark.parametrize("changed", [{"state": "disabled", "generation": 4}, {"generation": 5}])
def test_a_replay_ends_when_the_app_is_switched_again_and_keeps_what_is_left(
    lane: Lane, changed: dict[str, Any]
) -> None:
    hold(1)
    app(**{"generation": 3} | changed).save()
    lane.run()
    assert lane.reminders == []
    assert len(attempts.replayable("pager", None, 10)) == 1
    assert lane.telemetry.said("replay ended: the app is off again, or gone")


def test_a_replay_of_an_app_that_was_deleted_ends(lane: Lane) -> None:
    App("pager").delete()
    lane.run()
    assert lane.reminders == []


@given(st.integers(0, 500), st.integers(0, 100), st.floats(0.1, 1000), st.floats(-200, 200), st.booleans())
def test_the_chain_ends_only_with_an_empty_pass_that_began_late_enough(
    found: int, chosen: int, rate: float, late: float, more: bool
) -> None:
    done = replace(FIRST, found=found, began=SETTLES + late)
    now = max(START, done.began)
    following, wait = next_step(done, chosen, "cursor" if more else None, rate, now)
    assert 0 <= wait <= 900
    if following is None:
        assert (more, found, chosen) == (False, 0, 0)
        assert done.began >= SETTLES
    else:
        assert following.sent == chosen
        assert (following.after is None) is not more
