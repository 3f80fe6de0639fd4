"""The log of what succeeded at once: an item a batch, found by app, and never worth sending a webhook twice."""

import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bellhop import successes
from bellhop.attempts import Attempt
from bellhop.deliveries import Delivery
from bellhop.successes import Delivered, Row, Success, SuccessLog
from deliver.dependencies import DeliverDependencies
from tests.bench.prices import WRITE_BYTES
from tests.support.endpoint import Endpoint, counters, packed, recorded, response, run
from tests.support.fakes import NOW, delivery, queue_message
from tests.support.item_size import item_bytes

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def success(app: str, number: int = 0, **changes: Any) -> Success:
    made = delivery(app_id=app, delivery_id=f"msg_{number}", event_id=f"ev{number}", **changes)
    return Success(made, row_of(made))


def row_of(made: Delivery) -> Row:
    names = {"app": made.app_id, "delivery_id": made.delivery_id, "event_id": made.event_id, "event": made.event}
    return names | Attempt(1, NOW, 120, "request", "http_200", 200).row()


def batch(*apps: str) -> list[Success]:
    return [success(app, number) for number, app in enumerate(apps)]


def log(process: str = "p", days: int = 0) -> SuccessLog:
    return SuccessLog(process, timedelta(days=days))


def pages(app: str, since: datetime = NOW - HOUR, until: datetime = NOW + HOUR) -> list[str]:
    return list(successes.pages(app, since, until))


def shown(page: str, app: str, since: datetime = NOW - HOUR, until: datetime = NOW + HOUR) -> list[str]:
    """The apps of the deliveries of the packs of a page that may have something of an app, in their order."""
    return [row["app"] for pack in successes.packs(page, app, since, until) for row in pack.rows]


def test_a_batch_is_one_item_and_one_page_in_the_list_of_each_of_its_apps(aws: None) -> None:
    log().write(batch("pager", "chat", "pager"), NOW)
    assert len(list(Delivered.scan())) == 3
    assert pages("pager") == pages("chat") == ["2026-11-23T12#p"]
    assert shown("2026-11-23T12#p", "chat") == ["pager", "chat", "pager"]
    assert shown("2026-11-23T12#p", "other") == []


def test_a_process_lists_a_page_once_for_each_app_however_many_batches_follow(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, written = log(), list[str]()
    serialize = Delivered.serialize

    def noted(item: Delivered) -> Any:
        written.append(item.key)
        return serialize(item)

    monkeypatch.setattr(Delivered, "serialize", noted)
    for second in range(5):
        process.write(batch("pager", "chat"), NOW + second * SECOND)
    assert written.count("app#pager") == written.count("app#chat") == 1
    assert written.count("2026-11-23T12#p") == 5


def test_each_hour_and_each_process_has_a_page_of_its_own_and_the_newest_comes_first(aws: None) -> None:
    first, second = log(), log("q")
    first.write(batch("pager"), NOW)
    second.write(batch("pager"), NOW)
    first.write(batch("pager"), NOW + HOUR)
    assert pages("pager", until=NOW + 2 * HOUR) == ["2026-11-23T13#p", "2026-11-23T12#q", "2026-11-23T12#p"]
    assert pages("pager", until=NOW) == ["2026-11-23T12#q", "2026-11-23T12#p"]
    assert successes.hour_of("2026-11-23T12#q") == NOW


def test_an_hour_is_one_of_utc_wherever_the_clock_stands(aws: None) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    log().write(batch("pager"), elsewhere)
    assert pages("pager") == ["2026-11-23T12#p"]
    assert shown("2026-11-23T12#p", "pager", since=elsewhere) == ["pager"]


def test_packs_are_found_from_a_moment_on_and_before_another(aws: None) -> None:
    process = log()
    for second, app in enumerate(("a", "b", "c")):
        process.write(batch("pager", app), NOW + second * SECOND)
    assert shown("2026-11-23T12#p", "pager", since=NOW + SECOND) == ["pager", "b", "pager", "c"]
    assert shown("2026-11-23T12#p", "pager", until=NOW + SECOND) == ["pager", "a"]


def test_batches_of_the_same_moment_are_all_kept(aws: None) -> None:
    process = log()
    process.write(batch("pager"), NOW)
    process.write(batch("pager"), NOW)
    assert shown("2026-11-23T12#p", "pager") == ["pager", "pager"]


def test_a_batch_without_successes_writes_nothing(aws: None) -> None:
    log().write([], NOW)
    assert list(Delivered.scan()) == []


def test_a_page_is_listed_again_where_it_is_not_known_that_it_was(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = log()

    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("the table does not respond")

    with monkeypatch.context() as patch:
        patch.setattr(Delivered, "batch_write", down)
        with pytest.raises(ConnectionError):
            process.write(batch("pager"), NOW)
    process.write(batch("pager"), NOW + SECOND)
    assert pages("pager") == ["2026-11-23T12#p"]


def test_a_batch_of_more_apps_than_one_call_can_list_is_listed_by_several(aws: None) -> None:
    names = [f"app{number}" for number in range(60)]
    log().write(batch(*names), NOW)
    assert all(pages(name) == ["2026-11-23T12#p"] for name in names)
    assert shown("2026-11-23T12#p", names[-1]) == names


def test_successes_are_kept_for_thirty_days_and_listed_as_long(aws: None) -> None:
    log().write(batch("pager"), NOW)
    kept = {item.key: datetime.fromtimestamp(int(item.expires_at), UTC) - NOW for item in Delivered.scan()}
    assert kept == {"2026-11-23T12#p": timedelta(days=30), "app#pager": timedelta(days=30, hours=1)}


def test_ten_deliveries_fit_in_one_write_unit(aws: None) -> None:
    written = [success(f"6f1c6b5e-0f0a-4b7e-9a55-{number:012x}", number) for number in range(10)]
    for number, each in enumerate(written):
        each.row["ms"] = 100 + number * 13
        each.row["request_id"] = hashlib.md5(bytes([number])).hexdigest()  # as random as a UUID
        each.row["delivery_id"] = "msg_" + hashlib.sha256(bytes([number])).hexdigest()[:32]
    log("0123456789ab").write(written, NOW)
    [pack] = [item for item in Delivered.scan() if item.packed]
    assert item_bytes(pack.serialize()) <= WRITE_BYTES


def test_successes_that_cannot_be_logged_stay_done_and_are_counted(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(SuccessLog, "write", down)
    messages = [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(3)]
    assert run(deps, Endpoint(response(200)), *messages) == []
    assert counters()["success"] == 3
    assert packed() == []
    assert recorded(deps).counts["SuccessesNotLogged"] == 1
    assert recorded(deps).logged(
        "successes not logged: they are missing from the delivery log; the deliveries stay done"
    ) == [{"number": 3}]


# ---- The bodies


def bodies() -> list[Delivered]:
    return [item for item in Delivered.scan() if item.key.startswith("bodies#")]


def test_a_delivery_is_found_as_notify_made_it(aws: None) -> None:
    process = log(days=3)
    made = [
        success(f"app{n % 3}", n, body=f"body {n}".encode(), project_id="web" if n % 2 else None)
        for n in range(10)
    ]
    process.write(made[:6], NOW + SECOND)
    process.write(made[6:], NOW + 2 * SECOND)
    for each in made:
        found = successes.find(each.delivery.app_id, each.delivery.delivery_id, NOW)
        assert found == replace(each.delivery, enqueued_at=0.0)


def test_bodies_are_kept_for_as_many_days_as_the_operator_wants(aws: None) -> None:
    log(days=3).write([success("pager")], NOW)
    [kept] = bodies()
    assert datetime.fromtimestamp(int(kept.expires_at), UTC) == NOW + timedelta(days=3)
    log("q", days=0).write([success("pager")], NOW)
    assert len(bodies()) == 1


def test_what_was_packed_in_the_hour_after_its_attempt_is_found(aws: None) -> None:
    log(days=3).write([success("pager")], NOW + 5 * SECOND)
    assert successes.find("pager", "msg_0", NOW - SECOND)


def test_a_delivery_of_another_app_or_time_or_whose_body_is_not_kept_is_not_found(aws: None) -> None:
    log(days=3).write([success("pager")], NOW)
    assert successes.find("chat", "msg_0", NOW) is None
    assert successes.find("pager", "msg_1", NOW) is None
    assert successes.find("pager", "msg_0", NOW + SECOND) is None
    log("q", days=0).write([success("pager", 2)], NOW)
    assert successes.find("pager", "msg_2", NOW) is None


def test_bodies_larger_than_an_item_are_split_and_none_is_given_back_in_part(aws: None) -> None:
    body = random.Random(1).randbytes(900_000)
    log(days=1).write([success("pager", 1, body=body), success("pager", 2)], NOW)
    assert len(bodies()) == 3
    found = successes.find("pager", "msg_1", NOW)
    assert found
    assert found.body == body
    bodies()[0].delete()
    assert successes.find("pager", "msg_1", NOW) is None


def test_what_a_batch_delivers_can_be_found_by_what_the_log_shows(deps: DeliverDependencies) -> None:
    messages = [queue_message(delivery(delivery_id=f"msg_{n}", body=b"%d" % n), f"m{n}") for n in range(3)]
    run(deps, Endpoint(response(200)), *messages)
    for row in packed():
        found = successes.find("pager", row["delivery_id"], datetime.fromisoformat(row["at"]))
        assert found
        assert found.body == row["delivery_id"].removeprefix("msg_").encode()
