"""Attempts that take much of the processor delay the others of the batch, and nobody blames their endpoints."""

import dataclasses
import gc
import time
from datetime import timedelta
from typing import Any

import pytest

from bellhop import attempts, circuits, pings
from bellhop.registry import App
from deliver import processor
from deliver.attempt import signing, verdict
from deliver.attempt.verdict import Judgement
from deliver.circuit.slow import SlowApps
from deliver.dependencies import DeliverDependencies
from deliver.http import hub
from deliver.http.response import Response, SendFailure
from deliver.processor import MOST_EXCUSED
from tests.support.endpoint import TIMEOUT, Endpoint, counters, record, recorded, response, retries, run
from tests.support.fakes import NOW, SLOW_LANE, app, delivery, queue_message

NEIGHBOURS = [f"costly{n}" for n in range(9)]
COST, DEADLINE = 0.2, 1.0  # seconds of CPU, and of an attempt; it is slow from half of that on


class Watch:
    """The clocks of the hub, which stand still but for what the endpoints below take, and a moment each time."""

    def __init__(self) -> None:
        self.now = self.processor = 0.0

    def monotonic(self) -> float:
        self.now += 0.0001
        return self.now

    def thread_time(self) -> float:
        return self.processor


class Costly(Endpoint):
    """An endpoint that has us calculate for the apps "costly"; "pager" responds, or does not, while we do."""

    def __init__(self, watch: Watch, outcome: Response | SendFailure) -> None:
        super().__init__(outcome)
        self.watch = watch

    def post(self, *call: Any) -> Any:
        if call[0] == "pager":
            hub.pause(0.001)
        else:
            self.watch.now += COST
            self.watch.processor += COST
        return super().post(*call)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(hub, "time", watch)
    return watch


@pytest.fixture
def deps(deps: DeliverDependencies, apps: dict[str, App], watch: Watch) -> DeliverDependencies:
    apps |= {name: app(name) for name in NEIGHBOURS}
    slow = SlowApps(DEADLINE, time.time, deps.telemetry)
    return dataclasses.replace(deps, now=lambda: NOW + timedelta(seconds=watch.now), deadline=DEADLINE, slow=slow)


def messages(*app_ids: str) -> list[dict[str, Any]]:
    made = [delivery(delivery_id=f"msg_{app_id}", app_id=app_id) for app_id in app_ids]
    return [queue_message(each, each.app_id) for each in made]


def test_endpoints_that_cost_much_of_the_processor_had_a_healthy_one_taken_for_slow(
    deps: DeliverDependencies, watch: Watch
) -> None:
    assert run(deps, Costly(watch, response(200)), *messages("pager", *NEIGHBOURS)) == []
    assert circuits.slow_list().names == frozenset(NEIGHBOURS)


def test_an_attempt_that_is_costly_where_it_delays_nobody_is_not_slow(
    deps: DeliverDependencies, watch: Watch
) -> None:
    assert run(deps, Costly(watch, response(200)), *messages("pager", *NEIGHBOURS[:1])) == []
    assert circuits.slow_list().names == frozenset()


def test_one_app_whose_attempts_cost_much_together_was_in_no_list(
    deps: DeliverDependencies, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "COSTLY_SECONDS", 2 * COST)
    many = [delivery(delivery_id=f"msg_{n}", app_id="costly0") for n in range(9)]
    calls = [queue_message(each, each.delivery_id) for each in many]
    assert run(deps, Costly(watch, response(200)), *messages("pager", "costly1"), *calls) == []
    assert circuits.slow_list().names == {"costly0"}


def test_a_key_pair_that_a_process_used_for_the_first_time_was_taken_for_its_endpoints_work(
    deps: DeliverDependencies, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = signing.headers

    def importing(delivery: Any, *args: Any) -> dict[str, str]:
        watch.processor += COST if delivery.app_id == "pager" else 0.0
        return sign(delivery, *args)

    monkeypatch.setattr(signing, "headers", importing)
    assert run(deps, Costly(watch, response(200)), *messages("pager", *NEIGHBOURS)) == []
    assert circuits.slow_list().names == frozenset(NEIGHBOURS)


def test_no_garbage_is_collected_while_attempts_run_as_one_of_them_would_pay_for_it(
    deps: DeliverDependencies, watch: Watch
) -> None:
    enabled = list[bool]()

    class Asked(Endpoint):
        def post(self, *call: Any) -> Any:
            enabled.append(gc.isenabled())
            return super().post(*call)

    assert run(deps, Asked(response(200)), *messages("pager")) == []
    assert enabled == [False]
    assert gc.isenabled()


def test_an_endpoint_that_failed_while_the_processor_was_busy_had_the_strikes_of_one_that_hangs(
    deps: DeliverDependencies, watch: Watch
) -> None:
    run(deps, Costly(watch, response(500)), *messages("pager", *NEIGHBOURS))
    assert circuits.load("pager").strikes == 1


def test_a_deadline_that_passed_while_the_processor_was_busy_was_counted_as_the_endpoints_timeout(
    deps: DeliverDependencies, queue: str, watch: Watch
) -> None:
    assert run(deps, Costly(watch, TIMEOUT), *messages("pager", *NEIGHBOURS)) == []
    assert counters()["timeout"] == len(NEIGHBOURS)
    assert circuits.load("pager").strikes is None
    found = attempts.load("msg_pager")
    assert found is not None
    assert (found.state, found.attempts_made) == (attempts.RETRYING, 0)
    assert recorded(deps).logged("attempt not made, by a fault of ours: it will be made later")
    assert len(retries(queue)) == 1 + len(NEIGHBOURS)
    assert circuits.slow_list().names == frozenset(NEIGHBOURS)  # for what they cost, whosever fault it is


def test_a_timeout_beside_attempts_that_cost_little_is_the_endpoints(
    deps: DeliverDependencies, queue: str, watch: Watch
) -> None:
    assert run(deps, Costly(watch, TIMEOUT), *messages("pager")) == []
    assert counters()["timeout"] == 1


def test_an_endpoint_that_had_us_calculate_excused_its_own_timeouts(
    deps: DeliverDependencies, queue: str, watch: Watch
) -> None:
    class Patient(Costly):
        def post(self, *call: Any) -> Any:
            hub.pause(0.001)  # until all have begun
            try:
                return super().post(*call)
            finally:
                hub.pause(0.001)  # until all have calculated

    many = [delivery(delivery_id=f"msg_{n}", app_id="costly0") for n in range(9)]
    calls = [queue_message(each, each.delivery_id) for each in many]
    assert run(deps, Patient(watch, TIMEOUT), *calls, *messages("pager")) == []
    assert counters()["timeout"] == len(many)
    assert circuits.load("costly0").strikes == len(many)
    assert circuits.load("pager").strikes is None


def test_two_apps_together_one_that_costs_and_one_that_hangs_excused_it_for_ever(
    deps: DeliverDependencies, queue: str, watch: Watch
) -> None:
    class Together(Costly):
        def post(self, *call: Any) -> Any:
            outcome = super().post(*call)
            return outcome if call[0] == "pager" else response(200)

    waiting = messages("pager")
    for turn in range(MOST_EXCUSED + 2):  # that it was deferred is counted from its second time on
        made = [delivery(delivery_id=f"msg_{turn}_{name}", app_id=name) for name in NEIGHBOURS]
        busy = [queue_message(each, each.delivery_id, arn=SLOW_LANE) for each in made]
        assert run(deps, Together(watch, TIMEOUT), *waiting, *busy) == []
        waiting = [each for each in retries(queue) if "msg_pager" in each["body"]]
    assert record("msg_pager").attempts_made == 1
    assert circuits.load("pager").strikes is not None


def test_what_it_took_to_judge_responses_was_charged_to_nobody(
    deps: DeliverDependencies, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = verdict.judge

    def judging(outcome: Any, now: Any) -> Judgement:
        if outcome == response(400):
            watch.now += COST
            watch.processor += COST
        return judge(outcome, now)

    class Refusing(Endpoint):
        def post(self, *call: Any) -> Any:
            return response(200 if call[0] == "pager" else 400)

    monkeypatch.setattr(processor, "time", watch)
    monkeypatch.setattr(verdict, "judge", judging)
    assert run(deps, Refusing(response(200)), *messages("pager", *NEIGHBOURS)) == []
    assert circuits.slow_list().names == frozenset(NEIGHBOURS)


def test_with_a_short_deadline_what_excused_a_timeout_was_in_no_list(
    deps: DeliverDependencies, watch: Watch, queue: str
) -> None:
    neighbours = NEIGHBOURS[:3]  # which take 0.6 of a deadline of one second
    assert run(deps, Costly(watch, TIMEOUT), *messages("pager", *neighbours)) == []
    assert recorded(deps).logged("attempt not made, by a fault of ours: it will be made later")
    assert circuits.slow_list().names == frozenset(neighbours)


def test_a_ping_that_came_too_late_for_our_fault_is_told_as_it_ended(
    deps: DeliverDependencies, watch: Watch
) -> None:
    ping = pings.make(app(), "1", NOW)
    assert run(deps, Costly(watch, TIMEOUT), queue_message(ping, "ping"), *messages(*NEIGHBOURS)) == []
    assert record(ping.delivery_id).attempts[0]["result"] == "timeout"
