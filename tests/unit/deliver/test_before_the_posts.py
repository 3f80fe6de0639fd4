"""What a batch does before it posts: what others have paused, off or over their rate delays no neighbour."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.connection import Connection

from bellhop import app_lists, attempts, circuits, tables
from bellhop.attempts import PARKED, RETRYING, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.queues import Queue
from bellhop.registry import App
from deliver.batch import process
from deliver.circuit.trial import AGAIN_SECONDS, CANDIDATES, DRAWN_FROM
from deliver.dependencies import DeliverDependencies, Invocation, RetryPolicy
from deliver.prefetch import Prefetch
from tests.support.endpoint import Clock, Endpoint, FakeBus, Scheduled, record, recorded, response, run
from tests.support.fakes import FAST_LANE, SLOW_LANE, app, delivery, queue_message

FLOOD = 30


class Calls(Endpoint):
    """An endpoint that responds with 200, and knows how many calls to AWS came before the first POST to each app.

    `between` is done during the posts.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bus: FakeBus) -> None:
        super().__init__(response(200))
        self.made, self.sends, self.before = 0, 0, dict[str, int]()
        self.between: Callable[[], None] = lambda: None
        dispatch, send_batch, send, publish = Connection.dispatch, Queue.send_batch, Queue.send, bus.publish

        def count(real: Any) -> Any:
            def counting(*call: Any) -> Any:
                self.made += 1
                return real(*call)

            return counting

        monkeypatch.setattr(Connection, "dispatch", count(dispatch))
        monkeypatch.setattr(bus, "publish", count(publish))
        for name, real in (("send", send), ("send_batch", send_batch)):
            monkeypatch.setattr(Queue, name, self._sending(count(real)))

    def _sending(self, real: Any) -> Any:
        def sending(*call: Any) -> Any:
            self.sends += 1
            return real(*call)

        return sending

    def post(self, *call: Any) -> Any:
        self.before.setdefault(call[0], self.made)
        made = self.made
        self.between()
        self.made = made
        return super().post(*call)


@pytest.fixture
def deps(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, policy=RetryPolicy(delays=(5, 60, 300, 3600), lease=30, fresh=190))


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, bus: FakeBus) -> Calls:
    return Calls(monkeypatch, bus)


def flood(app_id: str = "noisy", number: int = FLOOD) -> list[dict[str, Any]]:
    return [queue_message(each, each.delivery_id) for each in flooding(app_id, number)]


def flooding(app_id: str, number: int) -> list[Delivery]:
    return [delivery(delivery_id=f"msg_{app_id}_{n}", app_id=app_id) for n in range(number)]


def neighbour() -> dict[str, Any]:
    return queue_message(delivery(delivery_id="msg_quiet", app_id="pager"), "quiet")


def states(number: int = FLOOD, app_id: str = "noisy") -> set[str]:
    found = [attempts.load(each.delivery_id) for each in flooding(app_id, number)]
    return {each.state for each in found if each}  # what was delivered at once has no record


def pause(clock: Clock, app_id: str = "noisy") -> None:
    circuits.open_circuit(app_id, 1, clock.seconds(), clock.seconds() + 30)


def end_pause(clock: Clock, app_id: str = "noisy", number: int = 0) -> None:
    """As another worker's trial does."""
    now = clock.seconds()
    assert circuits.claim_trial(app_id, 1, number, "other", now=now + 31, seconds=30)
    assert circuits.close_circuit(app_id, "other", now)


# ---- What is slow


@pytest.mark.parametrize("arn", [FAST_LANE, SLOW_LANE])
def test_of_apps_that_are_slow_each_circuit_was_read_alone_before_a_neighbours_webhook(
    deps: DeliverDependencies, apps: dict[str, App], endpoint: Calls, arn: str
) -> None:
    names = [f"slow{n}" for n in range(FLOOD)]
    apps |= {name: app(name) for name in names}
    circuits.list_slow(names)
    together = Prefetch({Circuit: deps.circuits}, tables.connect(retries=0), deps.telemetry)
    deps = dataclasses.replace(deps, prefetch=together)
    for turn in ("first", "again"):  # then all else that is known of them is in the caches
        made = [delivery(delivery_id=f"msg_{name}_{turn}", app_id=name) for name in names]
        messages = [queue_message(each, each.delivery_id, arn=arn) for each in made]
        quiet = delivery(delivery_id=f"msg_quiet_{turn}", app_id="pager")
        endpoint.made = 0
        endpoint.before.clear()
        assert run(deps, endpoint, *messages, queue_message(quiet, "quiet", arn=arn)) == []
    # The list of slow apps, all circuits, and what is handed over, ten in a call.
    assert endpoint.before["pager"] <= 2 + (FLOOD // 10 if arn == FAST_LANE else 0)


# ---- What waits


@pytest.mark.parametrize("why", ["paused", "off", "paced"])
def test_a_flood_that_was_parked_or_deferred_first_delayed_the_webhook_of_a_neighbour(
    why: str,
    deps: DeliverDependencies,
    apps: dict[str, App],
    clock: Clock,
    endpoint: Calls,
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "paused": {},
        "off": {"state": "disabled"},
        "paced": {"max_per_second": 0.5},
    }
    apps["noisy"] = app("noisy", **changes[why])
    if why == "paused":
        pause(clock)
    endpoint.made = endpoint.sends = 0
    seen: list[set[str]] = []
    endpoint.between = lambda: seen.append(states())
    assert run(deps, endpoint, *flood(), neighbour()) == []
    assert seen[0] == set()  # whoever dies during the posts has done nothing of it
    # The list of slow apps, both circuits, and, of the one that is paced, its row and the places of all.
    assert endpoint.before["pager"] <= 5
    assert endpoint.made > FLOOD
    assert states() == {RETRYING if why == "paced" else PARKED}


def test_paused_apps_were_each_asked_for_before_a_neighbours_webhook(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, endpoint: Calls
) -> None:
    names = [f"noisy{n}" for n in range(9)]
    for name in names:
        apps[name] = app(name)
        pause(clock, name)
        deps.circuits.state(apps[name])  # known, as after it was read ahead
    endpoint.made = endpoint.sends = 0
    run(deps, endpoint, *(message for name in names for message in flood(name, 1)), neighbour())
    assert endpoint.before["pager"] <= 2
    assert {record(f"msg_{name}_0").state for name in names} == {PARKED}


def test_what_is_deferred_is_sent_ten_in_a_call(
    deps: DeliverDependencies, apps: dict[str, App], endpoint: Calls
) -> None:
    apps["noisy"] = app("noisy", max_per_second=1)
    endpoint.made = endpoint.sends = 0
    assert run(deps, endpoint, *flood()) == []
    assert endpoint.sends == 3


def test_what_is_deferred_after_the_posts_comes_back_at_its_place_all_the_same(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, endpoint: Calls
) -> None:
    apps["noisy"], scheduled = app("noisy", max_per_second=1), Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled)
    endpoint.between = lambda: clock.move(4)
    run(deps, endpoint, *flood(number=8))
    assert [wait for _, wait in scheduled.sent] == [0, 0, 0, 0, 1, 2, 3]


# ---- A pause that ends meanwhile


def test_a_pause_that_ended_during_the_posts_had_deliveries_parked_after_it(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, endpoint: Calls
) -> None:
    apps["noisy"], scheduled = app("noisy"), Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled, uniform=lambda low, high: low)
    pause(clock)
    endpoint.between = lambda: end_pause(clock)
    assert run(deps, endpoint, *flood(), neighbour()) == []
    assert states() == {RETRYING}
    assert {wait for _, wait in scheduled.sent} == {1}
    assert len(scheduled.sent) == FLOOD
    [line] = recorded(deps).logged("deliveries deferred: their app's pause is over")
    assert line == {"app_id": "noisy", "number": FLOOD}
    clock.move(61)  # the slow start is over
    assert (
        run(
            deps,
            Endpoint(response(200)),
            *(queue_message(retry, retry.delivery_id) for retry, _ in scheduled.sent),
        )
        == []
    )
    assert states() == {"delivered"}


def test_a_trial_that_ended_the_pause_in_the_same_batch_had_its_neighbours_parked(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock
) -> None:
    apps["noisy"], scheduled = app("noisy"), Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled)
    pause(clock)
    assert run(deps, Endpoint(response(200)), *flood(number=1)) == []
    assert states(1) == {PARKED}
    clock.move(31)
    retry = queue_message(Retry("msg_late", "noisy", 1), "late")
    attempts.open_record(delivery(delivery_id="msg_late", app_id="noisy"), NextState(RETRYING, 0.0), clock())
    assert run(deps, Endpoint(response(200)), retry, queue_message(Trial("noisy", 1, 0), "trial")) == []
    assert (states(1), record("msg_late").state) == ({"delivered"}, RETRYING)
    assert [each.delivery_id for each, _ in scheduled.sent] == ["msg_late"]


def test_a_circuit_that_raised_after_the_posts_brings_back_its_own_apps_messages_alone(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: Any, **__: Any) -> None:
        raise ValueError("a row that cannot be read")

    apps["noisy"], endpoint = app("noisy"), Endpoint(response(200))
    pause(clock)
    deps.circuits.state(apps["noisy"])
    monkeypatch.setattr(deps.circuits, "read", damaged)
    assert run(deps, endpoint, *flood(number=2), neighbour()) == ["msg_noisy_0", "msg_noisy_1"]
    assert len(endpoint.posted) == 1


# ---- Trials


@pytest.mark.parametrize("way", ["uninstalled", "exhausted"])
def test_trials_of_one_tenants_paused_apps_used_up_a_batch_before_a_neighbour_was_posted_to(
    way: str,
    deps: DeliverDependencies,
    apps: dict[str, App],
    clock: Clock,
    endpoint: Calls,
) -> None:
    scheduled, names = Scheduled(), [f"noisy{n}" for n in range(9)]
    deps = dataclasses.replace(deps, scheduler=scheduled)
    for name in names:
        apps[name] = app(name)
        pause(clock, name)
        for each in flooding(name, CANDIDATES):
            gone = dataclasses.replace(each, installation_id="gone") if way == "uninstalled" else each
            attempts.open_record(gone, NextState(PARKED), clock(), list_key=name)
    clock.move(31 if way == "uninstalled" else deps.policy.span + 1)
    attempts.open_record(delivery(), NextState(RETRYING, clock.seconds()), clock())
    retry = queue_message(Retry(delivery().delivery_id, "pager", 1), "retry", arn=SLOW_LANE)
    trials = [queue_message(Trial(name, 1, 0), name, arn=SLOW_LANE) for name in names]
    endpoint.made = endpoint.sends = 0
    assert run(deps, endpoint, *trials, retry) == []
    # Each reads its circuit, claims its trial and looks at a key, the first one at two of them. What it passes
    # over is claimed and finished.
    passed = 2 * (CANDIDATES + len(names)) if way == "uninstalled" else 0
    assert endpoint.before["pager"] <= 3 * len(names) + 1 + passed + 5
    assert [wait for _, wait in scheduled.trials] == [AGAIN_SECONDS] * len(names)
    ended = {record(each.delivery_id).state for name in names for each in flooding(name, CANDIDATES)}
    assert ended == {PARKED, "withdrawn" if way == "uninstalled" else "exhausted"}


def nine_trials(
    apps: dict[str, App], clock: Clock, number: int, rows: int, **changes: Any
) -> list[dict[str, Any]]:
    """Trials of that number, of apps that have so much parked."""
    names = [f"noisy{n}" for n in range(9)]
    for name in names:
        apps[name] = app(name, **changes)
        pause(clock, name)
        circuits.Circuit(name).update(actions=[circuits.Circuit.trials.set(number)])
        for each in flooding(name, rows):
            attempts.open_record(each, NextState(PARKED), clock(), list_key=name)
    clock.move(31)
    return [queue_message(Trial(name, 1, number), name, arn=SLOW_LANE) for name in names]


@pytest.mark.parametrize("number", [0, 1])
def test_nine_trials_each_read_all_sixteen_keys_of_a_list_before_a_neighbour_was_posted_to(
    number: int, deps: DeliverDependencies, apps: dict[str, App], clock: Clock, endpoint: Calls
) -> None:
    trials = nine_trials(apps, clock, number, 3)
    attempts.open_record(delivery(), NextState(RETRYING, clock.seconds()), clock())
    retry = queue_message(Retry(delivery().delivery_id, "pager", 1), "retry", arn=SLOW_LANE)
    endpoint.made = endpoint.sends = 0
    assert run(deps, endpoint, *trials, retry) == []
    assert len(endpoint.posted) == len(trials) + 1
    # Each reads its circuit, claims its trial and its delivery, and looks at a key or two.
    assert endpoint.before["pager"] <= 5 * len(trials) + 5


@pytest.mark.parametrize("kind", ["internal", "published"])
def test_nine_trials_each_drew_lots_among_a_thousand_rows_before_a_neighbour_was_posted_to(
    kind: str, deps: DeliverDependencies, apps: dict[str, App], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, listed = [], app_lists.waiting_first

    def counted(*call: Any) -> Any:
        rows = listed(*call)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(app_lists, "waiting_first", counted)
    trials = nine_trials(apps, clock, 1, 200, kind=kind)
    assert run(deps, Endpoint(response(200)), *trials) == []
    assert len(read) == len(trials)
    assert sum(read) <= len(trials) * CANDIDATES + (0 if kind == "internal" else DRAWN_FROM)
    assert max(read) == (CANDIDATES if kind == "internal" else 200)


def test_a_trial_is_made_however_much_the_others_of_its_batch_passed_over(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock
) -> None:
    deps = dataclasses.replace(deps, scheduler=Scheduled())
    apps["noisy"], apps["quiet"] = app("noisy"), app("quiet")
    for each in flooding("noisy", CANDIDATES):
        attempts.open_record(
            dataclasses.replace(each, installation_id="gone"), NextState(PARKED), clock(), list_key="noisy"
        )
    attempts.open_record(flooding("quiet", 1)[0], NextState(PARKED), clock(), list_key="quiet")
    for name in ("noisy", "quiet"):
        pause(clock, name)
    clock.move(31)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *(queue_message(Trial(name, 1, 0), name) for name in ("noisy", "quiet"))) == []
    assert states(1, "quiet") == {"delivered"}


@pytest.mark.parametrize("key", ["quiet", "quiet#3"])
def test_a_trial_whose_app_had_all_under_a_further_key_waited_behind_one_that_always_passed_over_fifty(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, key: str
) -> None:
    scheduled = Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled)
    apps["noisy"], apps["quiet"] = app("noisy"), app("quiet")
    for name in ("noisy", "quiet"):
        pause(clock, name)
    for each in flooding("noisy", 3 * CANDIDATES):
        gone = dataclasses.replace(each, installation_id="gone")
        attempts.open_record(gone, NextState(PARKED), clock(), list_key="noisy")
    attempts.open_record(flooding("quiet", 1)[0], NextState(PARKED), clock(), list_key=key)
    clock.move(31)
    trials = [queue_message(Trial(name, 1, 0), name, arn=SLOW_LANE) for name in ("noisy", "quiet")]
    assert run(deps, Endpoint(response(200)), *trials) == []
    assert states(1, "quiet") == {"delivered"}
    assert [each.app_id for each, _ in scheduled.trials] == ["noisy"]


def test_where_the_tables_were_slow_a_neighbour_came_back_and_not_the_trial(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = attempts.claim

    def slowly(*call: Any, **how: Any) -> Any:
        clock.move(8)
        return claim(*call, **how)

    apps["noisy"] = app("noisy")
    pause(clock)
    attempts.open_record(flooding("noisy", 1)[0], NextState(PARKED), clock(), list_key="noisy")
    attempts.open_record(delivery(), NextState(RETRYING, clock.seconds()), clock())
    clock.move(31)
    monkeypatch.setattr(attempts, "claim", slowly)
    end = clock.seconds() + 30
    retry = queue_message(Retry(delivery().delivery_id, "pager", 1), "retry", arn=SLOW_LANE)
    endpoint, trial = Endpoint(response(200)), queue_message(Trial("noisy", 1, 0), "trial", arn=SLOW_LANE)
    invocation = Invocation(lambda: round(1000 * (end - clock.seconds())))
    assert process([trial, retry], dataclasses.replace(deps, transport=endpoint), invocation) == ["trial"]
    assert len(endpoint.posted) == 1
