"""The pure parts of the bench."""

from typing import Any

import pytest

from tests.bench import prices
from tests.bench.fair_queue import FairQueue, Message
from tests.bench.meter import entry_units
from tests.bench.prices import Units
from tests.bench.stats import distinct, draw, percentile, zipf
from tests.support.item_size import item_bytes


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (50, 99, 7)


def test_zipf_shares_fall_with_the_rank() -> None:
    shares = zipf(100)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] / shares[9] == pytest.approx(10)
    assert draw(shares, 20, seed=1) == draw(shares, 20, seed=1)


def test_a_batch_holds_as_many_apps_as_draws_say() -> None:
    shares = zipf(100)
    drawn = [len(set(draw(shares, 10, seed))) for seed in range(2000)]
    assert sum(drawn) / len(drawn) == pytest.approx(distinct(shares, 10), rel=0.02)


@pytest.mark.parametrize(("size", "requests"), [(0, 1), (65_536, 1), (65_537, 2), (1_048_576, 16)])
def test_sqs_bills_each_begun_chunk(size: int, requests: int) -> None:
    assert prices.sqs_requests(size) == requests


def test_dynamodb_rounds_up_to_units() -> None:
    assert (prices.write_units(1024), prices.write_units(1025)) == (1, 2)
    assert prices.read_units(4097, consistent=True) == 2
    assert prices.read_units(0, consistent=False) == 0.5


def test_a_small_function_computes_longer_but_waits_as_long() -> None:
    assert prices.billed_seconds(1.0, 0.0, 512) == 1.0
    assert prices.billed_seconds(1.0, 0.1, 512) == pytest.approx(1 + 0.1 * (1769 / 512 - 1))
    assert prices.billed_seconds(1.0, 0.1, 3008) == 1.0


def test_a_million_deliveries_cost_what_their_units_cost() -> None:
    spent = prices.dollars(Units(10, sqs_requests=5, write_units=2, gb_seconds=0.1))
    assert spent["sqs_requests"] == pytest.approx(0.20)
    assert spent["write_units"] == pytest.approx(0.125)
    assert spent["gb_seconds"] == pytest.approx(0.133334)


def test_items_are_as_large_as_dynamodb_says() -> None:
    assert item_bytes({"ab": {"S": "cde"}, "n": {"N": "100"}, "f": {"BOOL": True}}) == 5 + 4 + 2


def test_an_index_costs_where_an_entry_comes_changes_moves_or_goes() -> None:
    keys = [{"AttributeName": name, "KeyType": kind} for name, kind in (("shard", "HASH"), ("at", "RANGE"))]
    index = {"KeySchema": keys, "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["state"]}}
    due: dict[str, Any] = {"shard": {"N": "1"}, "at": {"N": "5"}}
    entry = due | {"state": {"S": "due"}, "body": {"S": "x" * 2000}}
    assert entry_units(index, {}, entry) == 1  # of two units, the index has less than one
    assert entry_units(index, entry, entry | {"body": {"S": ""}}) == 0
    assert entry_units(index, entry, entry | {"state": {"S": "late"}}) == 1
    assert entry_units(index, entry, entry | {"at": {"N": "6"}}) == 2
    assert entry_units(index, entry, {"at": {"N": "5"}}) == 1
    assert entry_units(index, {"at": {"N": "5"}}, {}) == 0


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_noisy_group_waits_behind_quiet_ones() -> None:
    clock = _Clock()
    queue = FairQueue(clock)
    for _ in range(60):
        queue.put(Message("noisy", None))
    queue.take(40, 0)
    queue.put(Message("quiet", None))
    assert [m.group for m in queue.take(2, 0)] == ["quiet", "noisy"]


def test_time_spent_makes_noisy_and_is_forgotten() -> None:
    clock = _Clock()
    queue = FairQueue(clock)
    queue.put(Message("slow", None))
    taken = queue.take(1, 0)
    clock.now = 5
    queue.done(taken)
    assert queue.noisy() == {"slow"}
    clock.now = 70
    assert queue.noisy() == set()


def test_without_fairness_the_oldest_comes_first() -> None:
    queue = FairQueue(_Clock(), fair=False)
    for group in ("noisy", "noisy", "quiet"):
        queue.put(Message(group, None))
    assert [m.group for m in queue.take(10, 0)] == ["noisy", "noisy", "quiet"]
