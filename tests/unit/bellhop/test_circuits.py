"""The circuit's conditional writes: of workers that disagree, one has its way, and it is the right one."""

import pytest

from bellhop import circuits
from bellhop.circuits import Circuit, Share

pytestmark = pytest.mark.usefixtures("aws")

NOW = 1_000_000.0


def paused(generation: int = 1, since: float = NOW, next_trial_at: float = NOW + 30) -> None:
    assert circuits.open_circuit("pager", generation, since, next_trial_at)


def claimed(lease: str = "first", now: float = NOW + 30, seconds: float = 60) -> bool:
    return circuits.claim_trial("pager", 1, 0, lease, now=now, seconds=seconds)


def test_a_running_pause_is_not_begun_anew() -> None:
    paused()
    assert not circuits.open_circuit("pager", 1, NOW + 300, NOW + 330)
    assert circuits.load("pager").paused_since == NOW


def test_a_newer_generation_may_be_paused_while_an_older_one_was_and_not_the_other_way_round() -> None:
    paused()
    paused(generation=2, since=NOW + 60)
    circuits.load("pager").update(actions=[Circuit.paused_since.remove()])
    assert not circuits.open_circuit("pager", 1, NOW + 90, NOW + 120)
    assert circuits.load("pager").generation == 2


def test_a_pause_says_nothing_of_another_generation() -> None:
    paused()
    assert circuits.is_paused("pager", 1)
    assert not circuits.is_paused("pager", 2)


def test_a_trial_is_not_to_be_had_before_its_time() -> None:
    paused()
    assert not claimed(now=NOW + 29)
    assert claimed(now=NOW + 30)


def test_of_two_workers_one_has_the_trial_until_its_lease_ends() -> None:
    paused()
    assert claimed("first")
    assert not claimed("second", now=NOW + 60)
    assert claimed("second", now=NOW + 91)


def test_a_worker_whose_claim_was_not_confirmed_has_it_by_its_lease() -> None:
    paused()
    assert claimed("first")
    assert claimed("first")


def test_a_trial_that_was_made_is_not_to_be_had_again() -> None:
    paused()
    assert claimed()
    assert circuits.end_trial("pager", "first", 0, NOW + 60)
    assert not claimed("second", now=NOW + 90)
    assert circuits.claim_trial("pager", 1, 1, "second", now=NOW + 90, seconds=60)


def test_a_worker_that_lost_its_lease_ends_neither_the_trial_nor_the_pause() -> None:
    paused()
    assert claimed("first")
    assert claimed("second", now=NOW + 91)
    assert not circuits.end_trial("pager", "first", 0, NOW + 120)
    assert not circuits.close_circuit("pager", "first", NOW + 92)
    assert not circuits.release_trial("pager", "first")
    row = circuits.load("pager")
    assert (row.trial_lease, row.paused_since) == ("second", NOW)
    assert not row.trials


def test_a_trial_that_a_worker_makes_is_not_sent_again_to_others() -> None:
    paused()
    assert claimed("first", seconds=600)
    assert not circuits.postpone_trial("pager", NOW + 30, NOW + 400)
    assert circuits.postpone_trial("pager", NOW + 30, NOW + 700)


def test_of_two_that_find_a_trial_overdue_one_sends_it_again() -> None:
    paused()
    assert circuits.postpone_trial("pager", NOW + 30, NOW + 400)
    assert not circuits.postpone_trial("pager", NOW + 30, NOW + 401)


def test_a_trial_of_a_pause_that_is_over_is_not_sent_again() -> None:
    paused()
    circuits.load("pager").update(actions=[Circuit.paused_since.remove()])
    assert not circuits.postpone_trial("pager", NOW + 30, NOW + 400)


@pytest.mark.parametrize("row", [Circuit("pager"), Share("pager#acme")], ids=["circuit", "share"])
def test_of_two_that_reserve_the_same_place_in_time_one_has_it(row: Circuit | Share) -> None:
    assert circuits.advance(row, None, NOW + 1)
    assert not circuits.advance(row, None, NOW + 1)
    assert circuits.advance(row, NOW + 1, NOW + 2)
    assert not circuits.advance(row, NOW + 1, NOW + 2)


def test_strikes_of_a_generation_that_is_over_are_not_counted() -> None:
    circuits.strike("pager", 2, 3, ["acme"], now=NOW, seconds=3600)
    circuits.strike("pager", 1, 5, ["acme"], now=NOW, seconds=3600)
    row = circuits.load("pager")
    assert (row.generation, row.strikes) == (2, 3)


def test_a_success_does_not_take_back_the_strikes_that_opened_the_circuit() -> None:
    circuits.strike("pager", 1, 10, ["acme"], now=NOW, seconds=3600)
    paused()
    circuits.clear("pager", 1)
    assert circuits.load("pager").strikes == 10
