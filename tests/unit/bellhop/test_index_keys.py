"""No key of by_app and replayable is hot, and an app's rows are read as if they were under one key."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

from bellhop import app_lists, attempts, circuits, index_keys, large_bodies
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.index_keys import (
    AHEAD_SECONDS,
    BLOCK_RECORDS,
    BUSY_SECONDS,
    FIRST_KEY_RECORDS,
    FREE_RECORDS,
    ORGANIZATION_RECORDS,
    ORGANIZATION_SECONDS,
    REFUSED_SECONDS,
    KeyChoice,
    all_keys,
    further_key,
)
from tests.docs import capacity
from tests.support.fakes import NOW, delivery

LATER = NOW + timedelta(days=1)

KEY_UNITS = 1_000  # a second: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
PROCESSES = 120  # by default
SECONDS = 4
RATES = capacity.RATES


class Ticking:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def name(number: int) -> str:
    return f"msg_{number:032x}"


# ---- Which key


def test_the_records_of_a_calm_app_are_under_its_id_which_0_1_0_reads() -> None:
    clock = Ticking()
    choice = KeyChoice(PROCESSES, clock)
    for second in range(60):
        clock.now = float(second)
        assert [choice.log_key("pager", name(2 * second + n)) for n in range(2)] == ["pager", "pager"]


@pytest.mark.parametrize("kind", ["log_key", "list_key"])
def test_what_a_busy_app_has_beyond_its_processes_share_is_under_further_keys(kind: str) -> None:
    of = getattr(KeyChoice(PROCESSES, Ticking()), kind)
    keys = [of("pager", name(number)) for number in range(500)]
    assert set(keys) == set(all_keys("pager"))
    assert keys.count("pager") == 1 + int(AHEAD_SECONDS * FIRST_KEY_RECORDS / PROCESSES)


def test_an_app_that_was_busy_is_calm_again_a_moment_later_and_others_are_calm_all_the_time() -> None:
    clock = Ticking()
    choice = KeyChoice(PROCESSES, clock)
    assert {choice.log_key("pager", name(number)) for number in range(50)} > {"pager"}
    assert choice.log_key("chat", name(1)) == "chat"
    clock.now = 1.0
    assert choice.log_key("pager", name(1)) == "pager"


@pytest.mark.parametrize("processes", [1, 3, PROCESSES])
def test_a_flood_of_one_organisation_is_under_further_keys_and_one_delivery_of_another_under_the_first(
    aws: None, processes: int
) -> None:
    clock, chance = Ticking(), random.Random(processes)
    choices = [KeyChoice(processes, clock) for _ in range(processes)]
    listed = Counter[str]()
    for number in range(10_000):
        clock.now = number / 10
        listed[chance.choice(choices).list_key("pager", name(number), "loud")] += 1
    many = ORGANIZATION_RECORDS + FREE_RECORDS * processes + clock.now / ORGANIZATION_SECONDS
    assert ORGANIZATION_RECORDS <= listed["pager"] <= many
    assert set(listed) == set(all_keys("pager"))
    assert {each.list_key("pager", name(1), "quiet") for each in choices} == {"pager"}
    assert {each.list_key("chat", name(1), "loud") for each in choices} == {"chat"}


def test_an_organisation_that_had_its_allowance_gets_one_more_in_each_span(aws: None) -> None:
    clock = Ticking()
    choice = KeyChoice(1, clock)
    for number in range(2 * ORGANIZATION_RECORDS):
        choice.list_key("pager", name(number), "loud")
        clock.now += 0.01
    later = list[str]()
    for number in range(200):
        clock.now += ORGANIZATION_SECONDS / 2
        later.append(choice.list_key("pager", name(number), "loud"))
    assert 100 - BLOCK_RECORDS < later.count("pager") <= 100


def test_of_few_processes_each_had_a_hundredth_of_an_organisations_allowance(aws: None) -> None:
    clock = Ticking()
    choices = [KeyChoice(PROCESSES, clock) for _ in range(3)]
    listed = list[str]()
    for minute in range(180):
        clock.now = minute * ORGANIZATION_SECONDS
        listed.append(choices[minute % 3].list_key("pager", name(minute), "steady"))
    assert set(listed) == {"pager"}


@pytest.mark.parametrize("running", [1, 3, PROCESSES])
def test_of_few_processes_each_had_a_hundredth_of_a_common_apps_first_key(aws: None, running: int) -> None:
    # By organisations that are all within their allowance, in batches of ten.
    clock, chance = Ticking(), random.Random(running)
    choices = [KeyChoice(PROCESSES, clock) for _ in range(running)]
    keys = Counter[str]()
    for second in range(60):
        for batch in range(3):
            choice = chance.choice(choices)
            for each in range(10):
                clock.now = second + batch / 3
                keys[choice.list_key("pager", name(each), f"org{chance.randrange(1000)}")] += 1
    assert keys == {"pager": 60 * 3 * 10}


def test_where_the_first_key_had_no_room_an_organisations_allowance_was_used_up_all_the_same(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, asked, has_room = Ticking(), Counter[str](), False

    def reserve(key: str, *_: Any) -> bool:
        asked[key] += 1
        return has_room

    monkeypatch.setattr(circuits, "reserve_listing", reserve)
    choice = KeyChoice(10**6, clock)  # the share of a process is one record
    keys = [choice.list_key("pager", name(number), "quiet") for number in range(100)]
    assert keys.count("pager") == 1
    assert asked == {"pager#*": 1}  # for BUSY_SECONDS
    clock.now, has_room = BUSY_SECONDS, True
    assert choice.list_key("pager", name(0), "quiet") == "pager"
    assert asked == {"pager#*": 2}


def test_what_a_process_reserved_for_all_organisations_is_not_kept_until_all_use_it_at_once(aws: None) -> None:
    clock = Ticking()
    choices = [KeyChoice(10**6, clock) for _ in range(100)]
    for second, choice in enumerate(choices):
        clock.now = float(second)
        assert [choice.list_key("pager", name(1), f"of{second}") for _ in range(2)] == ["pager", "pager"]
    clock.now += 1.1
    keys = Counter(each.list_key("pager", name(1), f"{number}") for number, each in enumerate(choices))
    assert 0 < keys["pager"] <= AHEAD_SECONDS * FIRST_KEY_RECORDS / BLOCK_RECORDS


def test_what_an_organisation_lists_is_reserved_in_blocks_and_a_flood_asks_once_a_minute(
    aws: None, dynamodb_calls: list[str]
) -> None:
    clock = Ticking()
    choice = KeyChoice(1, clock)
    for _ in range(FREE_RECORDS):
        choice.list_key("pager", name(1), "calm")
    assert dynamodb_calls == []
    for number in range(10_000):
        clock.now += 0.06
        choice.list_key("pager", name(number), "loud")
    assert len(dynamodb_calls) < 2 * (ORGANIZATION_RECORDS / BLOCK_RECORDS + clock.now / REFUSED_SECONDS + 2)


def test_where_the_circuits_do_not_respond_what_is_parked_is_under_further_keys(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> bool:
        raise UpdateError

    monkeypatch.setattr(circuits, "reserve_listing", silent)
    clock = Ticking()
    choice = KeyChoice(1, clock)
    keys = [choice.list_key("pager", name(number), "acme") for number in range(FREE_RECORDS + 1)]
    assert keys == ["pager", "pager", further_key("pager", name(FREE_RECORDS))]
    monkeypatch.undo()
    clock.now = REFUSED_SECONDS
    assert choice.list_key("pager", name(0), "acme") == "pager"


def test_an_allowance_that_two_processes_begin_at_once_is_one(aws: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: circuits.reserve_listing("pager#acme", 1e9, 600.0, 7200.0), range(60)))
    assert sum(taken) + sum(circuits.reserve_listing("pager#acme", 1e9, 600.0, 7200.0) for _ in range(12)) == 12


@cache
def opened_by_second(rate: int) -> list[Counter[str]]:
    """How many records are opened under each key, second by second.

    So many deliveries a second of one app fail or are parked, in processes that SQS gives them to at random.
    """
    clock, chance = Ticking(), random.Random(rate)
    needed = rate * capacity.process_seconds("DeliverFunction", "default")
    processes = max(PROCESSES, round(needed))
    choices = [KeyChoice(processes, clock) for _ in range(processes)]
    seconds = [Counter[str]() for _ in range(SECONDS)]
    for number in range(SECONDS * rate):
        clock.now = number / rate
        seconds[number // rate][chance.choice(choices).log_key("pager", name(number))] += 1
    return seconds


@pytest.mark.parametrize("rate", RATES)
def test_no_key_of_by_app_takes_more_than_dynamodb_lets_it_whatever_becomes_of_the_records(rate: int) -> None:
    # The first key has the records: each is opened, parked a second later and ended after another. A further key
    # has entries, which are never written again.
    seconds = opened_by_second(rate)
    assert sum(sum(opened.values()) for opened in seconds) == SECONDS * rate
    nothing = Counter[str]()
    for opened, parked, ended in zip(seconds, [nothing, *seconds], [nothing, nothing, *seconds], strict=False):
        assert opened["pager"] + parked["pager"] + ended["pager"] <= KEY_UNITS
        assert max(opened.values()) <= KEY_UNITS


@pytest.mark.parametrize("rate", RATES)
def test_no_key_of_replayable_takes_more_while_all_is_parked_and_a_release_goes_on(rate: int) -> None:
    released = capacity.default("ReplayPerSecond")  # each is taken off the list by one more write
    assert all(max(parked.values()) + released <= KEY_UNITS for parked in opened_by_second(rate))


@pytest.mark.parametrize("rate", RATES)
def test_no_key_of_replayable_takes_more_of_a_common_app_of_many_organisations(aws: None, rate: int) -> None:
    clock, chance = Ticking(), random.Random(rate)
    processes = max(PROCESSES, round(rate * capacity.process_seconds("DeliverFunction", "default")))
    choices = [KeyChoice(processes, clock) for _ in range(processes)]
    seconds = [Counter[str]() for _ in range(SECONDS)]
    for number in range(SECONDS * rate):
        clock.now = number / rate
        key = chance.choice(choices).list_key("pager", name(number), f"org{chance.randrange(100_000)}")
        seconds[number // rate][key] += 1
    released = capacity.default("ReplayPerSecond")
    assert all(max(parked.values()) + released <= KEY_UNITS for parked in seconds)
    assert min(parked["pager"] for parked in seconds) >= min(rate, FIRST_KEY_RECORDS)


# ---- As if under one key


STATES = (NextState(PARKED), NextState(EXHAUSTED), NextState(RETRYING, NOW.timestamp()))


def fill(chance: random.Random, number: int) -> None:
    """Records of three apps in any state, some at the same time, under any keys of theirs."""
    for each in range(number):
        app_id = chance.choice(["pager", "pager", "pager-2", "chat"])
        made = delivery(delivery_id=name(each), app_id=app_id)
        now = NOW + timedelta(milliseconds=chance.randrange(number))
        key = chance.choice([app_id, index_keys.further_key(app_id, made.delivery_id)])
        assert attempts.open_record(made, chance.choice(STATES), now, key=key)


def expected(app_id: str, *states: str) -> list[DeliveryRecord]:
    found = [row for row in DeliveryRecord.scan() if row.app_id == app_id and row.state in states]
    return sorted(found, key=lambda row: (row.replayable_for != row.app_id, str(row.replayable_at)))


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_of_keys_is_read_page_by_page_the_first_key_first_and_each_in_order(aws: None, seed: int) -> None:
    chance = random.Random(seed)
    fill(chance, 60)
    whole = [row.delivery_id for row in expected("pager", PARKED, EXHAUSTED)]
    seen, after = list[str](), None
    while page := app_lists.replayable("pager", after, chance.randint(5, 30)):
        seen += [row.delivery_id for row in page]
        assert {row.app_id for row in page} == {"pager"}
        after = app_lists.cursor(page[-1])
    assert seen == whole
    parked = expected("pager", PARKED)
    found = app_lists.replayable("pager", None, 100, exhausted=False)
    assert [row.delivery_id for row in found] == [row.delivery_id for row in parked]
    oldest, limit = sorted(parked, key=lambda row: str(row.replayable_at)), chance.randint(1, 50)
    found = app_lists.waiting("pager", NOW + timedelta(days=1), limit)
    assert [row.delivery_id for row in found] == [row.delivery_id for row in oldest[:limit]]
    newest = [row.delivery_id for row in reversed(oldest) if row.replayable_for == "pager"]
    found = app_lists.waiting_first("pager", NOW + timedelta(days=1), limit)
    assert [row.delivery_id for row in found] == newest[:limit]


@pytest.mark.parametrize("seed", range(2))
def test_the_log_has_the_newest_records_under_any_keys_first(aws: None, seed: int) -> None:
    chance = random.Random(seed)
    fill(chance, 60)
    found = [row for row in DeliveryRecord.scan() if row.app_id == "pager"]
    names = {row.delivery_id: (row.created, row.delivery_id) for row in found}
    whole = sorted(names, key=names.__getitem__, reverse=True)
    limit = chance.randint(1, 60)
    assert app_lists.newest("pager", NOW, LATER, limit) == (whole[:limit], limit > len(whole))


def test_how_often_a_page_asks_dynamodb_is_bounded(aws: None, dynamodb_calls: list[str]) -> None:
    for number in range(60):
        made = delivery(delivery_id=name(number))
        key = index_keys.further_key("pager", made.delivery_id)
        attempts.open_record(made, NextState(PARKED), NOW + timedelta(seconds=number), key=key)
    dynamodb_calls.clear()
    assert len(app_lists.replayable("pager", None, 40)) == 40
    assert dynamodb_calls == ["Query"] * len(all_keys("pager"))
    dynamodb_calls.clear()
    assert app_lists.replayable("chat", None, 100) == []
    assert dynamodb_calls == ["Query"] * len(all_keys("chat"))


# ---- A record under a further key is a record like any other


def test_a_record_under_a_further_key_has_its_apps_id_and_is_found_by_its_own(aws: None) -> None:
    made = delivery()
    attempts.open_record(made, NextState(PARKED), NOW, key="pager#7")
    record = attempts.load(made.delivery_id)
    assert record
    assert (record.app_id, large_bodies.load(record).body, record.created) == ("pager", made.body, NOW)
    assert app_lists.newest("pager", NOW, LATER, 9) == ([made.delivery_id], True)


def test_a_record_is_listed_once_whatever_keys_it_had_before(aws: None) -> None:
    made = delivery()
    attempts.open_record(made, NextState(PARKED), NOW, key="pager#7")
    for number, key in enumerate(["pager", "pager#7", "pager#3"]):
        later = NOW + timedelta(seconds=number)
        assert attempts.park(Retry(made.delivery_id, "pager", 1, replay=True), later, key)
        [row] = app_lists.replayable("pager", None, 9)
        assert row.replayable_for == key
    claimed = attempts.claim(made.delivery_id, 1, "worker", NOW, 30, replay=True)
    assert claimed
    assert attempts.finish(claimed, NextState(attempts.DELIVERED), NOW)
    assert app_lists.replayable("pager", None, 9) == []


def test_a_delivery_that_began_anew_after_its_record_expired_is_in_the_log_once(aws: None) -> None:
    made = delivery()
    attempts.open_record(made, NextState(PARKED), NOW, key="pager#7")
    later = NOW + attempts.KEPT + timedelta(seconds=1)
    attempts.open_record(made, NextState(PARKED), later)
    assert app_lists.newest("pager", NOW, LATER, 9) == ([made.delivery_id], True)
