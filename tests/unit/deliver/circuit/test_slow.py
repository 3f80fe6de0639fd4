"""Apps whose endpoints are slow leave the fast lane: the real batch, tables in memory, a clock that is moved."""

import dataclasses
import threading
from collections.abc import Collection, Iterable
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from pynamodb.exceptions import GetError, UpdateError
from pynamodb.models import Model

from bellhop import attempts, circuits
from bellhop.circuits import SLOW_KEY, Circuit, SlowList
from bellhop.registry import App
from deliver.circuit.slow import STAY_SECONDS, SlowApps, Stay, longer_stay
from deliver.dependencies import DeliverDependencies
from deliver.http import hub
from tests.support.endpoint import TIMEOUT, Clock, Endpoint, NoPrefetch, Scheduled, record, recorded, response, run
from tests.support.fakes import NOW, SLOW_LANE, app, delivery, queue_message

WELL = Endpoint(response(200))


@pytest.fixture
def scheduled() -> Scheduled:
    return Scheduled()


@pytest.fixture
def deps(deps: DeliverDependencies, scheduled: Scheduled) -> DeliverDependencies:
    return dataclasses.replace(deps, scheduler=scheduled)


class Slow(Endpoint):
    """An endpoint that takes so many seconds."""

    def __init__(self, clock: Clock, seconds: float = 5.0, status: int = 200) -> None:
        super().__init__(response(status))
        self.clock, self.seconds = clock, seconds

    def post(self, *call: Any) -> Any:
        self.clock.move(self.seconds)
        return super().post(*call)


def batch(number: int, name: str = "msg", app_id: str = "pager") -> list[dict[str, Any]]:
    made = [delivery(delivery_id=f"{name}_{n}", app_id=app_id, enqueued_at=NOW.timestamp()) for n in range(number)]
    return [queue_message(each, f"{name}{n}") for n, each in enumerate(made)]


def other_process(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, slow=SlowApps(deps.deadline, deps.time, deps.telemetry))


def test_an_endpoint_that_hung_held_up_every_process_of_the_fleet_in_turn(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, scheduled: Scheduled
) -> None:
    run(deps, Slow(clock, 10.0, 504), *batch(1))
    apps["quick"] = app("quick")
    for number in range(3):
        endpoint = Endpoint(response(200))
        messages = batch(2, f"later{number}") + batch(1, f"quick{number}", "quick")
        assert run(other_process(deps), endpoint, *messages) == []
        assert len(endpoint.posted) == 1
    assert len(scheduled.handed) == 6
    assert attempts.load("later0_0") is None  # nothing is written for what is handed over
    assert recorded(deps).counts["DeliveryHandedOver"] == 6


def test_what_is_handed_over_is_attempted_in_the_slow_lane_and_quick_responses_end_that(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    run(deps, Slow(clock), *batch(1))
    clock.move(3)
    run(deps, WELL, *batch(1, "handed"))
    [handed] = scheduled.handed
    slow, quick = Slow(clock), Endpoint(response(200))
    assert run(deps, slow, queue_message(handed, arn=SLOW_LANE)) == []
    assert len(slow.posted) == 1
    clock.move(STAY_SECONDS / 2 - 1)
    assert run(deps, quick, queue_message(handed, arn=SLOW_LANE)) == []
    assert circuits.slow_list().names == {"pager"}
    clock.move(STAY_SECONDS / 2)
    assert run(deps, quick, queue_message(handed, arn=SLOW_LANE)) == []
    assert circuits.slow_list().names == frozenset()
    run(deps, quick, *batch(1, "fast"))
    assert len(quick.posted) == 3


def quick_in_the_slow_lane(deps: DeliverDependencies, name: str) -> frozenset[str]:
    """Which apps are listed after a quick response there, in a process that saw the list half a minute ago."""
    deps.slow._listed |= dict.fromkeys(circuits.slow_list().names, Stay(deps.time(), STAY_SECONDS))
    run(deps, WELL, *({**each, "eventSourceARN": SLOW_LANE} for each in batch(1, name)))
    return circuits.slow_list().names


def test_an_app_that_was_slow_in_bursts_delayed_the_whole_fast_lane_in_each(
    deps: DeliverDependencies, clock: Clock
) -> None:
    began, delayed = deps.time(), 0
    for burst in range(8):
        clock.move(began + 45 * burst - deps.time())
        for _ in range(10):
            process = other_process(deps)
            process.slow.look()
            delayed += "pager" not in process.slow
            process.slow.take_in({"pager": 4.9})
            clock.move(1)
        for second in range(10, 45, 5):
            clock.move(began + 45 * burst + second - deps.time())
            quick_in_the_slow_lane(other_process(deps), f"quick{burst}_{second}")
    assert delayed == 2  # in the first two bursts


def test_a_process_that_had_not_seen_an_app_slow_took_it_off_the_list(
    deps: DeliverDependencies, clock: Clock
) -> None:
    there, elsewhere = deps, other_process(deps)
    there.slow.take_in({"pager": 4.9})
    elsewhere.slow.look()
    clock.move(STAY_SECONDS - 1)
    there.slow.take_in({"pager": 4.9})
    clock.move(1)
    assert quick_in_the_slow_lane(elsewhere, "quick") == {"pager"}
    clock.move(STAY_SECONDS)
    assert quick_in_the_slow_lane(elsewhere, "over") == frozenset()


@pytest.mark.parametrize(
    ("until", "seconds", "now", "expected"),
    [
        (None, None, 1000.0, (1030.0, 30.0)),
        (1010.0, 30.0, 1000.0, (1030.0, 30.0)),
        (1100.0, 30.0, 1000.0, (1100.0, 30.0)),
        (1000.0, 30.0, 1000.0, (1060.0, 60.0)),
        (900.0, 240.0, 1000.0, (1300.0, 300.0)),
        (1000.0, 240.0, 4600.0, (4900.0, 300.0)),
        (1000.0, 240.0, 4601.0, (4631.0, 30.0)),
        (1000.0, None, 1001.0, (1031.0, 30.0)),  # by a version that kept no length
    ],
)
def test_a_stay_doubles_when_an_app_is_slow_again_after_it_and_is_forgotten_in_an_hour(
    until: float | None, seconds: float | None, now: float, expected: tuple[float, float]
) -> None:
    assert longer_stay(Circuit("pager", slow_until=until, slow_seconds=seconds), now) == expected


def test_an_app_that_is_always_slow_has_its_stay_written_each_time_that_half_of_it_is_over_by_one_process(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, keep_slow = list[str](), circuits.keep_slow

    def counted(circuit: Circuit, *stay: float) -> bool:
        kept.append(circuit.app_id)
        return keep_slow(circuit, *stay)

    monkeypatch.setattr(circuits, "keep_slow", counted)
    other = other_process(deps)
    for _ in range(600):
        deps.slow.take_in({"pager": 2.5})
        other.slow.take_in({"pager": 2.5})
        clock.move(0.1)
    assert len(kept) == 4  # in a minute


def test_a_row_that_nobody_can_read_kept_the_stays_of_other_apps_from_being_written(
    deps: DeliverDependencies,
) -> None:
    boto3.client("dynamodb").put_item(
        TableName=Circuit.Meta.table_name, Item={"app_id": {"S": "broken"}, "slow_until": {"S": "soon"}}
    )
    deps.slow.take_in({"broken": 5.0, "pager": 5.0})
    assert circuits.load("pager").slow_until == deps.time() + STAY_SECONDS
    assert recorded(deps).logged("stay on the list of slow apps not written: the app's next attempt tries again")


def test_an_app_that_was_slow_every_other_time_had_the_list_written_for_each_attempt(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def counted(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if arguments.get("Key") == {"app_id": {"S": circuits.SLOW_KEY}} and operation == "UpdateItem":
            written.append(arguments["UpdateExpression"])
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    for number in range(50):
        endpoint = Slow(clock, seconds=3 * (number % 2))
        run(deps, endpoint, *({**m, "eventSourceARN": SLOW_LANE} for m in batch(1, f"each{number}")))
    assert len(written) == 1


def test_a_listed_app_that_another_process_paused_just_now_is_parked_and_not_handed_over(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    run(deps, Slow(clock), *batch(1))
    circuits.open_circuit("pager", 1, deps.time(), deps.time() + 30)
    clock.move(3)
    assert run(deps, WELL, *batch(1, "late")) == []
    assert (record("late_0").state, scheduled.handed) == ("parked", [])


def test_what_the_slow_lane_does_not_take_comes_back(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> set[int]:
        return {1}

    def down(*_: Any) -> set[int]:
        raise ConnectionError("the queue does not respond")

    run(deps, Slow(clock), *batch(1))
    clock.move(3)
    monkeypatch.setattr(deps.scheduler, "hand_over", refuses)
    assert run(deps, WELL, *batch(3, "late")) == ["late1"]
    monkeypatch.setattr(deps.scheduler, "hand_over", down)
    assert run(deps, WELL, *batch(2, "later")) == ["later0", "later1"]


def test_the_list_is_read_every_two_seconds_and_not_for_each_batch(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float] = []
    monkeypatch.setattr(circuits, "slow_list", lambda: reads.append(1) or SlowList(SLOW_KEY))  # type: ignore[func-returns-value]
    for _ in range(10):
        run(deps, WELL, *batch(1))
        clock.move(0.5)
    assert len(reads) == 3


def test_a_silent_table_of_circuits_kept_every_app_from_being_read_ahead(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Collection[type[Model]]] = []

    class Noting(NoPrefetch):
        def read(self, app_ids: Iterable[str], left_out: Collection[type[Model]] = ()) -> None:
            noted.append(left_out)

    def silent() -> None:
        raise GetError("the table does not respond")

    noting = dataclasses.replace(deps, prefetch=Noting())
    run(noting, WELL, *batch(1))
    fresh = dataclasses.replace(noting, slow=SlowApps(10.0, deps.time, deps.telemetry))
    monkeypatch.setattr(circuits, "slow_list", silent)
    run(fresh, WELL, *batch(1, "late"))
    assert [list(models) for models in noted] == [[], [Circuit]]


def test_a_list_that_cannot_be_read_or_written_costs_no_delivery(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable() -> None:
        raise GetError("the table does not respond")

    def unwritable(_: Any) -> None:
        raise UpdateError("the table does not respond")

    monkeypatch.setattr(circuits, "slow_list", unreadable)
    monkeypatch.setattr(circuits, "list_slow", unwritable)
    endpoint = Slow(clock)
    assert run(deps, endpoint, *batch(2)) == []
    assert len(endpoint.posted) == 2
    assert recorded(deps).logged("list of slow apps not read: what was known of it before holds")
    assert recorded(deps).logged("list of slow apps not written: the next attempts of these apps try again")


def test_a_full_list_begins_anew(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "MOST_SLOW", 3)
    circuits.list_slow({"a", "b", "c"})
    assert circuits.list_slow({"d"}) == frozenset()
    assert circuits.list_slow({"d"}) == {"d"}
    assert circuits.unlist_slow({"d", "e"}) == frozenset()


# ---- While the attempt still runs


class Hanging(Endpoint):
    """An endpoint at which the app "pager" gets a response only once the list has an app, or never will."""

    def __init__(self) -> None:
        super().__init__(response(200))
        self.listed = frozenset[str]()

    def post(self, *call: Any) -> Any:
        for _ in range(500 if call[0] == "pager" else 0):
            self.listed = circuits.slow_list().names
            if self.listed:
                break
            hub.pause(0.01)
        return super().post(*call)


@pytest.fixture
def hasty(deps: DeliverDependencies, apps: dict[str, App]) -> DeliverDependencies:
    """Two apps, and attempts that are slow at once."""
    apps["quick"] = app("quick")
    return dataclasses.replace(deps, deadline=0.02, slow=SlowApps(0.02, deps.time, deps.telemetry))


def test_an_attempt_that_hung_was_listed_only_when_it_had_ended(hasty: DeliverDependencies) -> None:
    endpoint = Hanging()
    assert run(hasty, endpoint, *batch(1), *batch(1, "quick", "quick")) == []
    assert endpoint.listed == {"pager"}
    assert "pager" in hasty.slow


def test_where_nobody_responds_it_may_be_our_network_that_hangs(hasty: DeliverDependencies) -> None:
    assert run(hasty, Pausing(response(200)), *batch(1)) == []
    assert hasty.slow._listing is None


def test_a_ping_that_hangs_lists_no_app(hasty: DeliverDependencies) -> None:
    ping = queue_message(delivery(delivery_id="ping", ping=True), "ping")
    assert run(hasty, Pausing(response(200)), ping, *batch(1, "quick", "quick")) == []
    assert hasty.slow._listing is None


class Pausing(Endpoint):
    """Takes longer for the app "pager" than an attempt may without being slow."""

    def post(self, *call: Any) -> Any:
        if call[0] == "pager":
            hub.pause(0.05)
        return super().post(*call)


def test_a_list_that_cannot_be_written_while_the_attempt_runs_is_written_after_it(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, list_slow = [GetError(), None], circuits.list_slow

    def once(app_ids: Any) -> Any:
        error = refused.pop(0)
        if error:
            raise error
        return list_slow(app_ids)

    monkeypatch.setattr(circuits, "list_slow", once)
    slow = SlowApps(10.0, deps.time, deps.telemetry)
    slow.list_running({"pager"})
    slow._thread.shutdown()
    slow.take_in({"pager": 10.0})
    assert recorded(deps).logged("list of slow apps not written: the next attempts of these apps try again")
    slow.take_in({"pager": 10.0})
    assert circuits.slow_list().names == {"pager"}


def test_a_listing_that_is_still_on_its_way_holds_nothing_up(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, way = SlowApps(10.0, deps.time, deps.telemetry), threading.Event()
    list_slow = circuits.list_slow

    def waiting(app_ids: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            way.wait(10)
        return list_slow(app_ids)

    monkeypatch.setattr(circuits, "list_slow", waiting)
    slow.list_running({"pager"})
    first = slow._listing
    slow.take_in({"pager": 10.0})
    assert circuits.slow_list().names == {"pager"}
    slow.list_running({"another"})
    assert slow._listing is first  # nothing waits behind it
    way.set()
    slow._thread.shutdown()
    slow.take_in({})
    assert slow._listing is None


def test_where_no_thread_is_to_be_had_the_attempts_go_on(hasty: DeliverDependencies) -> None:
    hasty.slow._thread.shutdown()  # then submit raises what it raises without a thread
    assert run(hasty, Pausing(response(200)), *batch(1), *batch(1, "quick", "quick")) == []


def test_a_list_that_nobody_can_read_stopped_every_batch(deps: DeliverDependencies) -> None:
    boto3.client("dynamodb").put_item(
        TableName=circuits.SlowList.Meta.table_name,
        Item={"app_id": {"S": circuits.SLOW_KEY}, "outage_until": {"S": "soon"}},
    )
    assert run(deps, WELL, *batch(1)) == []
    assert run(deps, Endpoint(TIMEOUT), *batch(1, "later")) == []
    assert recorded(deps).logged("list of slow apps not read: what was known of it before holds")
