"""The body of a record: a small one in it, a large one in an item of its own that is written once and first."""

import random
import zlib
from datetime import timedelta
from typing import Any

import boto3
import pytest
from pynamodb.exceptions import PutError, UpdateError

from bellhop import app_lists, attempts, due, index_keys, large_bodies
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Delivery
from bellhop.large_bodies import LARGE_BYTES, LargeBody, LostBodyError
from bellhop.long_responses import LongResponse
from bellhop.tables import _Connection
from tests.support.damage import damage
from tests.support.endpoint import record
from tests.support.fakes import NOW, delivery

ID = delivery().delivery_id
FAILED = Attempt(1, NOW, 5, "request-1", "http_500", 500)
LATER = NOW + timedelta(days=2)


def noise(number: int, seed: int = 1) -> bytes:
    """So many bytes that no compression makes smaller."""
    return random.Random(seed).randbytes(number)


def large(seed: int = 1, **changes: Any) -> Delivery:
    return delivery(enqueued_at=0.0, body=noise(5000, seed), **changes)


def opened(made: Delivery, state: str = RETRYING) -> DeliveryRecord:
    found = attempts.open_record(made, NextState(state, attempt=FAILED), NOW)
    assert found
    return record(made.delivery_id)


def items() -> dict[str, dict[str, Any]]:
    """Every item of the table, by its key."""
    found = boto3.client("dynamodb").scan(TableName=DeliveryRecord.Meta.table_name)["Items"]
    return {each["delivery_id"]["S"]: each for each in found}


def item_of(known: DeliveryRecord) -> LargeBody:
    name = large_bodies.key(known)
    assert name
    return LargeBody.get(name)


def test_a_small_body_stands_in_its_record_where_the_last_release_reads_it(aws: None) -> None:
    body = noise(LARGE_BYTES - 20)
    known = opened(delivery(enqueued_at=0.0, body=body))
    assert [*items()] == [ID]
    assert zlib.decompress(known.body) == body
    assert large_bodies.load(known) == delivery(enqueued_at=0.0, body=body)


def test_a_large_body_stands_beside_its_record_and_comes_back_byte_for_byte(aws: None) -> None:
    known = opened(large())
    assert len(items()) == 2
    assert "body" not in known.attribute_values
    assert large_bodies.load(known) == large()


def test_a_body_is_large_by_its_compressed_size(aws: None) -> None:
    assert opened(delivery(body=b"x" * 100 * LARGE_BYTES)).body_digest is None


def test_a_body_is_kept_longer_than_its_record_as_items_are_deleted_one_by_one(aws: None) -> None:
    known = opened(large())
    assert item_of(known).expires_at - known.expires_at == 86_400


def test_a_body_is_in_no_index(aws: None) -> None:
    for number, state in enumerate((RETRYING, PARKED, EXHAUSTED)):
        opened(large(delivery_id=f"msg_{number}"), state)
    assert len(items()) == 6
    span = (NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert sorted(app_lists.oldest("pager", *span)) == ["msg_0", "msg_1", "msg_2"]
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 9)] == ["msg_1", "msg_2"]
    assert [row.delivery_id for n in range(due.SHARDS) for row in DeliveryRecord.due.query(n)] == ["msg_0"]
    indexed = {index_keys.ByApp, index_keys.Replayable, due.Due}
    keys = {each.attr_name for of in indexed for each in of.Meta.attributes.values()}
    for name, item in items().items():
        assert keys.isdisjoint(item) or not name.startswith("body#")


def refuse(patch: pytest.MonkeyPatch, refused: str) -> None:
    """Have the table not respond to an operation."""
    dispatch = _Connection.dispatch

    def refusing(connection: Any, operation: str, request: Any) -> Any:
        if operation == refused:
            raise {"PutItem": PutError, "UpdateItem": UpdateError}[operation]("the table does not respond")
        return dispatch(connection, operation, request)

    patch.setattr(_Connection, "dispatch", refusing)


def test_a_record_whose_body_was_not_written_is_not_written_either(aws: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "UpdateItem")
        with pytest.raises(UpdateError):
            attempts.open_record(large(), NextState(RETRYING), NOW)
    assert items() == {}


def test_a_body_whose_record_was_not_written_is_written_a_second_time_to_the_same_place(aws: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse(patch, "PutItem")
        with pytest.raises(PutError):
            attempts.open_record(large(), NextState(RETRYING), NOW)
    [name] = items()
    known = opened(large())
    assert {*items()} == {name, ID}
    assert large_bodies.load(known) == large()


def test_a_delivery_that_begins_anew_with_another_body_leaves_the_one_that_is_being_sent(aws: None) -> None:
    before = opened(large(), STOPPED)
    assert attempts.reopen(large(seed=2), before, NextState(RETRYING), LATER)
    assert large_bodies.load(record()) == large(seed=2)
    assert large_bodies.load(before) == large()


def test_a_delivery_that_begins_anew_keeps_its_body_as_long_as_its_record(aws: None) -> None:
    before = opened(large(), STOPPED)
    assert attempts.reopen(large(), before, NextState(RETRYING), LATER)
    assert item_of(record()).expires_at - record().expires_at == 86_400


@pytest.mark.parametrize("sizes", [(100, 5000), (5000, 100)])
def test_a_delivery_that_begins_anew_with_a_body_of_another_size_has_that_one_alone(
    aws: None, sizes: tuple[int, int]
) -> None:
    first, second = (delivery(enqueued_at=0.0, body=noise(size)) for size in sizes)
    before = opened(first, STOPPED)
    assert attempts.reopen(second, before, NextState(RETRYING), LATER)
    known = record()
    assert (known.body is None) == (sizes[1] == 5000)
    assert (known.body_digest is None) == (sizes[1] == 100)
    assert large_bodies.load(known) == second


def test_a_record_that_the_last_release_began_anew_has_the_body_that_it_wrote(aws: None) -> None:
    opened(large())
    record().update(actions=[DeliveryRecord.body.set(zlib.compress(b"newer"))])  # it knows no digest
    assert large_bodies.load(record()).body == b"newer"


def test_a_body_that_is_not_there_is_lost(aws: None) -> None:
    known = opened(large())
    item_of(known).delete()
    with pytest.raises(LostBodyError, match="nothing is kept under body#msg_"):
        large_bodies.load(known)


def test_a_body_that_is_damaged_is_lost(aws: None) -> None:
    known = opened(large())
    name = str(large_bodies.key(known))
    LargeBody(name).update(actions=[LargeBody.body.set(b"\x78\x9c\xff")])
    with pytest.raises(LostBodyError, match="no body"):
        large_bodies.load(known)
    damage(LargeBody, name, "body")
    with pytest.raises(LostBodyError, match="cannot be read"):
        large_bodies.load(known)


def test_a_damaged_body_within_a_record_is_lost_too(aws: None) -> None:
    known = opened(delivery())
    known.body = b"no zlib"
    with pytest.raises(LostBodyError, match=f"under {ID} is no body"):
        large_bodies.load(known)


def test_a_body_is_kept_longer_only_where_it_is(aws: None) -> None:
    known = opened(large())
    ends = attempts.expiry(LATER)
    assert large_bodies.keep_longer(known, ends)
    assert item_of(known).expires_at == ends + 86_400
    item_of(known).delete()
    assert not large_bodies.keep_longer(known, ends)
    assert [*items()] == [ID]


def test_beside_the_largest_body_a_long_response_has_room(aws: None) -> None:
    long = Attempt(1, NOW, 5, "request-1", "http_500", 500, "x" * 1024, long=LongResponse("x" * 5000))
    made = delivery(body=noise(280 * 1024))
    assert attempts.open_record(made, NextState(RETRYING, attempt=long), NOW)
    assert record().long_response
