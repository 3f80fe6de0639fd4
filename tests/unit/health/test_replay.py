"""Replay: every replayable delivery is sent, oldest first, at its rate, and the chain ends when it should."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import app_lists, attempts, circuits, deliveries
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.queues import OutgoingMessage
from bellhop.registry import App
from bellhop.replays import Replay
from health import messages
from health.replay import ReplayError, next_step, step
from tests.support.damage import damage
from tests.support.fakes import NOW, app, delivery
from tests.support.health import ChainQueues

START = NOW.timestamp()
SETTLES = START + 90
FIRST = Replay("pager", 3, (PARKED,), 10.0, SETTLES, START)


@dataclass
class Queues(ChainQueues):
    """With `delivers`, what is sent is delivered at once."""

    delivers: bool = True

    def take(self, sent: Sequence[OutgoingMessage]) -> set[int]:
        refused = super().take(sent)
        for message in [m for n, m in enumerate(sent) if n not in refused] if self.delivers else []:
            self.deliver(message)
        return refused

    def deliver(self, message: OutgoingMessage) -> None:
        """As deliver does with what it gets at once."""
        retry = deliveries.decode(message.body)
        assert isinstance(retry, Retry)
        record = attempts.claim(retry.delivery_id, retry.next_attempt, "w", self.clock(), 30, replay=True)
        if record:
            attempts.finish(record, NextState(DELIVERED), self.clock())

    def run(self, message: Replay = FIRST) -> None:
        self.follow(message)

    def ids(self) -> list[str]:
        sent = [deliveries.decode(m.body) for m in self.retries]
        return [retry.delivery_id for retry in sent if isinstance(retry, Retry)]


@pytest.fixture
def queues(aws: None) -> Queues:
    app(generation=3).save()
    return Queues()


def keep(number: int, state: str = PARKED, at: float = 0.0, key: str | None = None) -> str:
    name = f"msg_{number:032d}"
    moment = NOW + timedelta(seconds=at or number - 10_000)
    made = delivery(delivery_id=name, event_id=f"ev{number}")
    assert attempts.open_record(made, NextState(state), moment, list_key=key)
    return name


def keep_further(number: int, state: str = PARKED, at: float = 0.0) -> str:
    """One under a further key."""
    return keep(number, state, at, f"pager#{1 + number % 15}")


def test_what_is_parked_is_sent_oldest_first_each_once(queues: Queues) -> None:
    names = [keep(n) for n in range(250)]
    queues.run()
    assert queues.ids() == names
    first = deliveries.decode(queues.retries[0].body)
    assert first == deliveries.Retry(names[0], "pager", 1, replay=True, organization_id="acme")
    assert queues.telemetry.counts == {"DeliveryReplayed": 250, "ReplayFinished": 1}


def test_a_flood_of_one_organisation_delayed_the_release_of_anothers_only_delivery(queues: Queues) -> None:
    app(generation=3, kind="published").save()
    flood = [keep_further(n) for n in range(350)]
    first = [keep(n) for n in range(400, 520)]
    queues.run()
    assert queues.ids() == first + flood
    assert queues.telemetry.counts == {"DeliveryReplayed": 470, "ReplayFinished": 1}


def test_what_an_internal_app_has_under_any_keys_is_sent_oldest_first(queues: Queues) -> None:
    names = [keep(n) if n % 3 else keep_further(n) for n in range(250)]
    queues.run()
    assert queues.ids() == names


@pytest.mark.parametrize("kind", ["internal", "published"])
def test_exhausted_ones_are_sent_under_further_keys_too_each_once(queues: Queues, kind: str) -> None:
    app(generation=3, kind=kind).save()
    names = [keep(1, EXHAUSTED), keep(2), keep_further(3), keep_further(4, EXHAUSTED)]
    queues.run(replace(FIRST, states=(PARKED, EXHAUSTED)))
    assert sorted(queues.ids()) == names


@pytest.mark.parametrize("kind", ["internal", "published"])
def test_a_later_pass_sends_what_was_parked_since_under_any_key_and_nothing_else(
    queues: Queues, kind: str
) -> None:
    app(generation=3, kind=kind).save()
    queues.delivers = False
    sent = [keep(1), keep_further(2), keep_further(3)]
    step(FIRST, queues.deps())
    late = [keep_further(4, at=5), keep(5, at=6)]
    while queues.chain[-1][0].after:
        step(queues.chain[-1][0], queues.deps())
    assert {*queues.ids()} - {*late} == {*sent}
    queues.retries.clear()
    later = queues.chain[-1][0]
    assert (later.passes, later.after) == (1, None)
    step(later, queues.deps())
    assert sorted(queues.ids()) == sorted(late)


@pytest.mark.parametrize("kind", ["internal", "published"])
def test_a_release_that_is_behind_under_further_keys_goes_on_slowly(queues: Queues, kind: str) -> None:
    app(generation=3, kind=kind).save()
    names = [keep(n) for n in range(30)] + [keep_further(n) for n in range(30, 350)]
    queues.delivers = False
    step(FIRST, queues.deps())
    for _ in range(2):
        step(queues.chain[-1][0], queues.deps())
    assert [wait for _, wait in queues.chain] == [10, 60, 60]
    for message in queues.retries:
        queues.deliver(message)
    step(queues.chain[-1][0], queues.deps())
    assert queues.ids() == names
    assert queues.chain[-1][1] == 5


def test_the_message_of_0_1_0_says_nothing_of_further_keys_and_all_under_them_is_sent(queues: Queues) -> None:
    app(generation=3, kind="published").save()
    names = [keep(n) for n in range(3)] + [keep_further(n) for n in range(3, 6)]
    record = attempts.load(names[1])
    assert record
    after = str(record.replayable_at).removesuffix("#acme") + "~"
    written = {"kind": "replay"} | asdict(replace(FIRST, after=after))
    for later in ("passes", "started_at", "since"):
        del written[later]
    handled = messages.decode(json.dumps(written))
    assert isinstance(handled, Replay)
    queues.run(handled)
    assert queues.ids() == names[2:]


def test_one_row_of_the_list_that_could_not_be_read_stopped_a_whole_replay(queues: Queues) -> None:
    names = [keep(n) for n in range(150)]
    damage(DeliveryRecord, names[5], "attempts_made")
    damage(DeliveryRecord, names[120], "state")
    queues.delivers = False
    queues.run(replace(FIRST, settles_at=START))
    # deliver looks at the record of the one whose state is known, and its message becomes a dead letter.
    assert queues.ids() == [name for name in names if name != names[120]]


def test_the_page_is_spread_over_the_time_that_its_rate_takes(queues: Queues) -> None:
    for n in range(101):
        keep(n)
    step(FIRST, queues.deps())
    assert [m.delay for m in queues.retries[::20]] == [0, 2, 4, 6, 8]
    [(following, wait)] = queues.chain
    assert (following.sent, wait) == (100, 10)


def test_a_release_poured_all_that_was_parked_into_a_retry_queue_that_was_behind(queues: Queues) -> None:
    names = [keep(n) for n in range(350)]
    queues.delivers = False
    step(FIRST, queues.deps())
    [(second, wait)] = queues.chain
    assert (second.sent, wait) == (100, 10)
    step(second, queues.deps())
    (third, wait) = queues.chain[1]
    assert (third.sent, wait) == (200, 60)
    for message in queues.retries:
        queues.deliver(message)
    queues.delivers = True
    queues.chain.clear()
    queues.run(third)
    assert set(queues.ids()) == set(names)  # slowly, and to its end


def test_a_replay_keeps_its_rate_while_less_is_left_than_a_page_or_ten_seconds_of_it(queues: Queues) -> None:
    for n in range(350):
        keep(n)
    queues.delivers = False
    step(FIRST, queues.deps())
    queues.deliver(queues.retries[0])
    step(queues.chain[0][0], queues.deps())
    step(replace(queues.chain[1][0], rate=1000.0), queues.deps())
    assert [wait for _, wait in queues.chain] == [10, 10, 1]


def test_one_app_that_kept_the_retry_queue_behind_slowed_the_releases_of_all(queues: Queues) -> None:
    for n in range(250):
        keep(n)
    queues.waiting = 1000
    step(FIRST, queues.deps())
    step(queues.chain[0][0], queues.deps())
    assert [wait for _, wait in queues.chain] == [10, 10]


def test_a_release_sent_more_than_the_slow_start_lets_out_and_each_of_the_rest_was_deferred_by_a_write(
    queues: Queues,
) -> None:
    names = [keep(n) for n in range(200)]
    circuits.open_circuit("pager", 3, START - 60, START - 30)
    assert circuits.claim_trial("pager", 3, 0, "w", now=START, seconds=30)
    assert circuits.close_circuit("pager", "w", START)
    sent, message = list[int](), FIRST
    for _ in range(4):
        before = len(queues.retries)
        step(message, queues.deps())
        sent.append(len(queues.retries) - before)
        message, wait = queues.chain[-1]
        assert wait == 10
        queues.clock.move(wait)
    assert sent == [10, 20, 40, 80]
    assert [m.delay for m in queues.retries[:10]] == [*range(10)]
    assert queues.ids() == names[:150]


def test_a_pause_of_another_generation_slows_no_replay(queues: Queues) -> None:
    for n in range(101):
        keep(n)
    circuits.open_circuit("pager", 2, START - 60, START - 30)
    assert circuits.claim_trial("pager", 2, 0, "w", now=START, seconds=30)
    assert circuits.close_circuit("pager", "w", START)
    step(FIRST, queues.deps())
    assert len(queues.retries) == 100


def test_an_app_that_is_slow_by_its_own_limit_is_replayed_at_that(queues: Queues) -> None:
    app(generation=3, max_per_second=2).save()
    for n in range(4):
        keep(n)
    step(FIRST, queues.deps())
    assert [m.delay for m in queues.retries] == [0, 0, 1, 1]


def test_what_a_pause_exhausted_and_nobody_announced_before_its_end_stayed_listed_for_ever(queues: Queues) -> None:
    names = [keep(n) for n in range(2)]
    record = attempts.load(names[0])
    assert record
    assert attempts.exhaust(record, NOW)  # then its trial died, and another ended the pause
    queues.run()
    assert queues.ids() == names


def test_exhausted_deliveries_are_replayed_only_where_they_are_asked_for(queues: Queues) -> None:
    parked, exhausted = keep(1), keep(2, EXHAUSTED)
    queues.run()
    assert queues.ids() == [parked]
    queues.run(replace(FIRST, states=(PARKED, EXHAUSTED), began=SETTLES))
    assert queues.ids() == [parked, exhausted]


def test_what_is_exhausted_again_by_its_replay_is_not_replayed_again(queues: Queues) -> None:
    keep(1, EXHAUSTED)
    again = keep(2, EXHAUSTED, at=60)  # exhausted after the replay began
    queues.run(replace(FIRST, states=(EXHAUSTED,), settles_at=START))
    assert again not in queues.ids()
    assert queues.telemetry.counts == {"DeliveryReplayed": 1, "ReplayFinished": 1}


@pytest.mark.parametrize("began", [START, START + 600])
def test_what_failed_in_its_replay_was_replayed_until_a_clock_that_is_ahead(queues: Queues, began: float) -> None:
    failing = keep(1, EXHAUSTED)

    def fail(message: OutgoingMessage) -> None:
        queues.clock.move(2)
        record = attempts.claim(failing, 1, "w", queues.clock(), 30, replay=True)
        assert record
        record.attempts_made = 0
        attempts.finish(record, NextState(EXHAUSTED), queues.clock())

    queues.deliver = fail  # type: ignore[method-assign]
    queues.run(Replay("pager", 3, (PARKED, EXHAUSTED), 10.0, began, began, started_at=START + 600.001))
    assert queues.ids() == [failing]


def test_what_is_parked_while_the_replay_runs_is_sent_too(queues: Queues) -> None:
    first = keep(1)
    step(FIRST, queues.deps())
    late = keep(2, at=5)  # by a process that still knew the app as off
    message, delay = queues.chain.pop()
    queues.clock.move(delay)
    queues.run(message)
    assert queues.ids() == [first, late]


def test_a_replay_notes_with_each_page_until_when_it_is_not_missed(queues: Queues) -> None:
    keep(1)
    step(FIRST, queues.deps())
    [(_, wait)] = queues.chain
    noted = circuits.load("pager").chain_until
    assert noted is not None
    assert float(noted) - 7200 >= START + wait


def test_the_chain_does_not_end_while_somebody_may_still_park(queues: Queues) -> None:
    queues.run()
    assert queues.clock.now.timestamp() >= SETTLES


def test_a_page_that_is_sent_again_after_a_crash_leaves_nothing_out(queues: Queues) -> None:
    names = [keep(n) for n in range(3)]
    queues.refuses = {1}
    with pytest.raises(ReplayError):
        step(FIRST, queues.deps())
    assert (queues.ids(), queues.chain) == ([names[0], names[2]], [])
    queues.refuses = set()
    queues.run()
    assert queues.ids() == [names[0], names[2], names[1]]


def test_a_message_that_was_lost_left_what_it_was_for_on_no_list(queues: Queues) -> None:
    names = [keep(n) for n in range(3)]
    queues.delivers = False
    step(FIRST, queues.deps())
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 10)] == names


@pytest.mark.parametrize("states", [(PARKED,), (PARKED, EXHAUSTED)])
def test_a_replay_ends_while_the_app_is_paused_as_deliver_would_only_park_it_all_again(
    queues: Queues, states: tuple[str, ...]
) -> None:
    keep(1)
    circuits.open_circuit("pager", 3, START, START + 30)
    queues.run(replace(FIRST, states=states))
    assert queues.retries == []
    assert queues.telemetry.logged(
        "replay ended: the app is paused; what is parked is released when its pause ends, the rest stays "
        "replayable"
    )


def test_a_pass_after_the_first_looks_only_at_what_was_parked_since(queues: Queues) -> None:
    keep(1)
    queues.delivers = False
    queues.run()
    assert len(queues.ids()) == 1


@pytest.mark.parametrize("changed", [{"state": "disabled", "generation": 4}, {"generation": 5}])
def test_a_replay_ends_when_the_app_is_switched_again_and_keeps_what_is_left(
    queues: Queues, changed: dict[str, Any]
) -> None:
    keep(1)
    app(**{"generation": 3} | changed).save()
    queues.run()
    assert queues.retries == []
    assert len(app_lists.replayable("pager", None, 10)) == 1
    assert queues.telemetry.logged(
        "replay ended: the app was switched off or on meanwhile; the rest stays replayable"
    )


def test_what_is_parked_of_an_app_that_was_deleted_is_sent_to_deliver_which_ends_it(queues: Queues) -> None:
    for n in range(3):
        keep(n)
    App("pager").delete()
    queues.run()
    assert len(queues.ids()) == 3
    assert app_lists.replayable("pager", None, 10) == []
    assert queues.telemetry.logged("replay finished")


def test_a_stop_by_a_person_also_ends_what_a_deletion_began(queues: Queues) -> None:
    keep(1)
    App("pager").delete()
    circuits.stop_replays("pager", START + 1)
    queues.run()
    assert queues.retries == []


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
        assert (following.after == "cursor") is more


# ---- How far it is, and that a person stops it


def test_each_step_notes_how_far_it_is_and_the_end_is_noted(queues: Queues) -> None:
    for n in range(150):
        keep(n)
    step(FIRST, queues.deps())
    [(following, _)] = queues.chain
    queues.chain.clear()
    queues.clock.move(10)
    step(following, queues.deps())
    noted = circuits.load("pager")
    assert (noted.replay_began, noted.replay_sent, noted.replay_rate) == (START, 100, 10.0)
    assert not noted.replay_ended
    queues.run(queues.chain.pop()[0])
    ended = circuits.load("pager")
    assert (ended.replay_began, ended.replay_sent) == (START, 150)
    assert ended.replay_ended == queues.clock().timestamp()
    assert ended.replay_end is None


def test_one_that_is_stopped_ends_at_its_next_step_and_the_rest_stays_parked(queues: Queues) -> None:
    names = [keep(n) for n in range(150)]
    step(FIRST, queues.deps())
    [(following, _)] = queues.chain
    queues.chain.clear()
    circuits.stop_replays("pager", START + 5)
    queues.run(following)
    assert queues.ids() == names[:100]
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 200)] == names[100:]
    assert queues.telemetry.logged("replay ended: a person stopped it; the rest stays replayable")
    ended = circuits.load("pager")
    assert ended.replay_ended is not None
    assert ended.replay_end == "a person stopped it; the rest stays replayable"


def test_one_that_is_begun_after_the_stop_goes_on_with_the_rest_also_in_later_passes(queues: Queues) -> None:
    names = [keep(n) for n in range(3)]
    circuits.stop_replays("pager", START - 1)
    queues.run()
    assert queues.ids() == names
    assert queues.telemetry.counts["ReplayFinished"] == 1


def test_a_later_pass_knows_when_the_replay_began(queues: Queues) -> None:
    done = replace(FIRST, found=1, sent=1)
    following, _ = next_step(done, 0, None, 10.0, START + 1)
    assert following
    assert (following.passes, following.started) == (1, START)
    assert following.began > START
    circuits.stop_replays("pager", START + 2)
    queues.run(following)
    assert queues.telemetry.logged("replay ended: a person stopped it; the rest stays replayable")


def test_the_end_of_one_does_not_hide_another_that_goes_on(queues: Queues) -> None:
    circuits.note_replay("pager", START + 900, START + 60, 7, 1.0)
    circuits.end_replay("pager", START, 3, START + 61)
    noted = circuits.load("pager")
    assert (noted.replay_began, noted.replay_sent) == (START + 60, 7)
    assert not noted.replay_ended
