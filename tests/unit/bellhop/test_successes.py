"""The log of what succeeded at once: one item for a batch, and never worth sending a webhook twice."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bellhop import successes
from bellhop.successes import SuccessPack
from deliver.dependencies import DeliverDependencies
from tests.support.endpoint import Endpoint, counters, recorded, response, run
from tests.support.fakes import NOW, delivery, queue_message

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("pager", {"n": 1, "delivery_id": "msg_1"}),
    ("chat", {"n": 1, "delivery_id": "msg_2"}),
    ("pager", {"n": 1, "delivery_id": "msg_3"}),
]


def test_a_batch_is_one_item_that_tells_whose_its_deliveries_are(aws: None) -> None:
    successes.pack(ROWS, "b1", NOW)
    [item] = SuccessPack.scan()
    assert item.apps == ["chat", "pager"]
    assert [(entry["app"], entry["delivery_id"]) for entry in item.entries] == [
        ("pager", "msg_1"),
        ("chat", "msg_2"),
        ("pager", "msg_3"),
    ]


def test_batches_of_the_same_moment_are_all_kept(aws: None) -> None:
    successes.pack(ROWS, "b1", NOW)
    successes.pack(ROWS, "b2", NOW)
    assert len(list(SuccessPack.query(successes.bucket(NOW)))) == 2


def test_a_batch_without_successes_writes_nothing(aws: None) -> None:
    successes.pack([], "b1", NOW)
    assert list(SuccessPack.scan()) == []


def test_a_minute_of_utc_is_one_bucket_wherever_the_clock_stands() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert successes.bucket(elsewhere + timedelta(seconds=59)) == "2026-11-23T12:00"
    assert successes.bucket(elsewhere + timedelta(seconds=60)) == "2026-11-23T12:01"


def test_successes_are_kept_for_thirty_days(aws: None) -> None:
    successes.pack(ROWS, "b1", NOW)
    [item] = SuccessPack.scan()
    assert datetime.fromtimestamp(int(item.expires_at), UTC) == NOW + timedelta(days=30)


def test_successes_that_cannot_be_logged_stay_done_and_are_counted(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(successes, "pack", down)
    batch = [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(3)]
    assert run(deps, Endpoint(response(200)), *batch) == []
    assert counters()["success"] == 3
    assert recorded(deps).counts["SuccessesNotLogged"] == 1
    assert recorded(deps).logged(
        "successes not logged: they are missing from the delivery log, the deliveries stay done"
    ) == [{"number": 3}]
