"""A pause, from the strikes that begin it to the trial that ends it: the real batch, tables in memory, a clock."""

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from pynamodb.exceptions import GetError, UpdateError

from bellhop import app_lists, attempts, circuits, deliveries, index_keys
from bellhop.attempts import PARKED, NextState
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.index_keys import FURTHER_KEYS, KeyChoice
from bellhop.registry import App
from deliver.batch import process
from deliver.circuit import rate, strikes, trial
from deliver.circuit.known import KnownCircuits
from deliver.circuit.strikes import EVERYBODY
from deliver.circuit.trial import AGAIN_SECONDS, CANDIDATES, OVERDUE_SECONDS
from deliver.dependencies import DeliverDependencies, Invocation, RetryPolicy
from tests.support.endpoint import (
    TIMEOUT,
    Clock,
    Endpoint,
    FakeBus,
    Scheduled,
    Secrets,
    counters,
    record,
    recorded,
    released,
    response,
    run,
)
from tests.support.fakes import NOW, SLOW_LANE, app, delivery, installation, queue_message

T0 = NOW.timestamp()
WELL, ILL = Endpoint(response(200)), Endpoint(response(500))


@pytest.fixture
def scheduled() -> Scheduled:
    return Scheduled()


@pytest.fixture
def deps(deps: DeliverDependencies, scheduled: Scheduled) -> DeliverDependencies:
    return dataclasses.replace(
        deps, policy=RetryPolicy(delays=(5, 60, 300), lease=30, fresh=190), scheduler=scheduled
    )


class Hangs(Endpoint):
    """An endpoint that responds to nothing within the deadline."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(TIMEOUT)
        self.clock = clock

    def post(self, *call: Any) -> Any:
        self.clock.move(10)
        return super().post(*call)


def unwritable(*_: Any) -> bool:
    raise UpdateError("the table does not respond")


def batch(number: int, name: str = "msg", **changes: Any) -> list[dict[str, Any]]:
    made = [delivery(delivery_id=f"{name}_{n}", **{"enqueued_at": T0} | changes) for n in range(number)]
    return [queue_message(each, f"{name}{n}") for n, each in enumerate(made)]


def pause(deps: DeliverDependencies) -> None:
    run(deps, ILL, *batch(10, "before"))
    assert circuits.load("pager").paused_since == deps.time()


def trial_message(number: int = 0, receive_count: int = 1, generation: int = 1) -> dict[str, Any]:
    return queue_message(Trial("pager", generation, number), f"trial{number}", receive_count=receive_count)


def due(deps: DeliverDependencies, clock: Clock) -> None:
    """Let time pass until the next trial is due."""
    clock.move(float(circuits.load("pager").next_trial_at) - deps.time())


def parked() -> list[str]:
    rows = app_lists.replayable("pager", None, 100)
    return [row.delivery_id for row in rows if row.state == "parked"]


# ---- When a pause begins


def test_ten_failures_in_a_row_pause_the_app_mail_nobody_and_send_the_first_trial(
    deps: DeliverDependencies, scheduled: Scheduled
) -> None:
    run(deps, ILL, *batch(9, "before"))
    assert circuits.load("pager").paused_since is None
    run(deps, ILL, *batch(1))
    assert circuits.load("pager").paused_since == T0
    assert recorded(deps).counts["PauseBegan"] == 1
    assert scheduled.trials == [(Trial("pager", 1, 0), 30)]


class NoTrials(Scheduled):
    """A retry queue that takes no trial."""

    def send_trial(self, trial: Trial, seconds: int) -> None:
        raise TimeoutError("SQS did not respond")


def test_an_app_whose_trial_cannot_be_sent_is_not_paused_as_nothing_would_end_its_pause(
    deps: DeliverDependencies, scheduled: Scheduled
) -> None:
    run(dataclasses.replace(deps, scheduler=NoTrials()), ILL, *batch(10, "before"))
    assert circuits.load("pager").paused_since is None
    run(deps, ILL, *batch(1, "next"))
    assert circuits.load("pager").paused_since == T0
    assert scheduled.trials == [(Trial("pager", 1, 0), 30)]


def test_three_attempts_that_hang_pause_the_app_whichever_processes_make_them(
    deps: DeliverDependencies, clock: Clock
) -> None:
    for number in range(3):
        other = dataclasses.replace(deps, circuits=KnownCircuits(60.0, deps.time, deps.telemetry))
        [message] = batch(1, f"hung{number}")
        run(other, Hangs(clock), message | {"eventSourceARN": SLOW_LANE})
    assert circuits.load("pager").paused_since is not None


def test_one_response_in_time_takes_every_strike_back(deps: DeliverDependencies) -> None:
    run(deps, ILL, *batch(9, "before"))
    run(deps, Endpoint(response(404)), *batch(1, "alive"))
    run(deps, ILL, *batch(9, "after"))
    assert circuits.load("pager").paused_since is None


def test_a_success_in_another_process_takes_the_strikes_back_too(deps: DeliverDependencies) -> None:
    run(deps, ILL, *batch(9, "before"))
    other = dataclasses.replace(deps, circuits=KnownCircuits(60.0, deps.time, deps.telemetry))
    run(other, WELL, *batch(1, "alive"))
    assert not circuits.load("pager").strikes


def test_a_lone_quick_failure_just_after_a_success_is_no_strike_and_writes_nothing(
    deps: DeliverDependencies, clock: Clock
) -> None:
    for number in range(3):
        run(deps, WELL, *batch(1, f"well{number}"))
        clock.move(strikes.WELL_SECONDS - 1)
        run(deps, ILL, *batch(1, f"ill{number}"))
    assert circuits.load("pager").struck_at is None


def test_after_one_that_a_success_excused_ten_more_failures_pause_the_app(deps: DeliverDependencies) -> None:
    run(deps, WELL, *batch(1, "well"))
    for number in range(10):
        assert circuits.load("pager").paused_since is None
        run(deps, ILL, *batch(1, f"ill{number}"))
    run(deps, ILL, *batch(1, "last"))
    assert circuits.load("pager").paused_since is not None


def test_several_failures_of_a_batch_or_one_that_hangs_are_strikes_also_after_a_success(
    deps: DeliverDependencies, clock: Clock
) -> None:
    run(deps, WELL, *batch(1, "well"))
    run(deps, ILL, *batch(2, "two"))
    assert circuits.load("pager").strikes == 2
    run(deps, WELL, *batch(1, "again"))
    run(deps, Hangs(clock), *batch(1, "hung"))
    assert circuits.load("pager").strikes == strikes.STRIKES_OF_SLOW


def test_a_success_excuses_no_failure_a_minute_later_nor_in_another_process(
    deps: DeliverDependencies, clock: Clock
) -> None:
    run(deps, WELL, *batch(1, "well"))
    other = dataclasses.replace(deps, circuits=KnownCircuits(60.0, deps.time, deps.telemetry))
    run(other, ILL, *batch(1, "elsewhere"))
    assert circuits.load("pager").strikes == 1
    clock.move(strikes.WELL_SECONDS)
    run(deps, ILL, *batch(1, "later"))
    assert circuits.load("pager").strikes == 2


def test_an_app_that_takes_only_alerts_and_hangs_was_attempted_for_ever(deps: DeliverDependencies) -> None:
    run(deps, ILL, *batch(10, event="metric_alert.open"))
    assert counters()["error"] == 0
    assert circuits.load("pager").paused_since == T0


def test_an_app_that_responds_with_429_was_attempted_for_ever(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(429)), *batch(10))
    assert circuits.load("pager").paused_since == T0


def test_ten_refusals_of_one_organisations_data_paused_the_app_for_another(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(400)), *batch(30))
    assert circuits.load("pager").paused_since is None


def test_server_errors_for_one_organisations_data_paused_the_app_for_another(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps["pager"] = app(kind="published")
    run(deps, ILL, *batch(30))
    assert circuits.load("pager").paused_since is None
    run(deps, ILL, *batch(1, "theirs", organization_id="globex"))
    assert circuits.load("pager").paused_since is not None


def test_an_app_that_others_installed_is_paused_by_what_hangs_for_one(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock
) -> None:
    apps["pager"] = app(kind="published")
    for number in range(3):
        [message] = batch(1, f"hung{number}")
        run(deps, Hangs(clock), message | {"eventSourceARN": SLOW_LANE})
    assert circuits.load("pager").paused_since is not None


def test_a_circuit_that_cannot_be_written_is_logged_and_not_taken_for_a_lost_count(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "open_circuit", unwritable)
    assert run(deps, ILL, *batch(10)) == []
    assert counters()["error"] == 10
    [line] = recorded(deps).logged(
        "strikes not counted or app not paused, as a write failed: the app's next failure will try again"
    )
    assert line["app_id"] == "pager"
    assert "OutcomesNotCounted" not in recorded(deps).counts


def test_strikes_of_a_generation_that_is_over_count_for_nothing(deps: DeliverDependencies) -> None:
    circuits.strike("pager", 3, 2, [EVERYBODY], now=T0, seconds=60)
    run(deps, ILL, *batch(10))
    row = circuits.load("pager")
    assert (row.generation, row.strikes, row.serialize().get("paused_since")) == (3, 2, None)
    circuits.strike("pager", 5, 1, [EVERYBODY], now=T0, seconds=60)
    assert circuits.load("pager").strikes == 1


def test_failures_that_are_rare_pause_nothing(deps: DeliverDependencies, clock: Clock) -> None:
    for number in range(4):
        run(deps, ILL, *batch(3, f"rare{number}"))
        clock.move(3601)
    assert circuits.load("pager").paused_since is None
    assert circuits.load("pager").strikes == 3


# ---- While it lasts


def test_while_paused_deliveries_are_parked_and_none_goes_round(
    deps: DeliverDependencies, scheduled: Scheduled
) -> None:
    pause(deps)
    sent = len(scheduled.sent)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(5)) == []
    assert (endpoint.posted, len(scheduled.sent)) == ([], sent)
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("parked", 0)
    assert parked() == [f"msg_{n}" for n in range(5)]


def test_a_retry_of_a_paused_app_is_parked_with_its_budget_as_it_is(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    pause(deps)
    retry, _ = scheduled.sent[0]
    clock.move(5)
    assert run(deps, WELL, queue_message(retry)) == []
    assert (record("before_0").state, record("before_0").attempts_made) == ("parked", 1)
    assert parked() == ["before_0"]


def test_parking_for_a_pause_has_no_limit_that_skips(deps: DeliverDependencies) -> None:
    pause(deps)
    deps.parking.limit = 1
    run(deps, WELL, *batch(5))
    assert len(parked()) == 5


def test_the_oldest_that_is_parked_is_the_trial(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    pause(deps)
    for number in range(3):
        run(deps, WELL, *batch(1, f"parked{number}"))
        clock.move(1)
    due(deps, clock)
    endpoint = Endpoint(response(503))
    errors = counters()["error"]
    assert run(deps, endpoint, trial_message()) == []
    assert len(endpoint.posted) == 1
    tried = record("parked0_0")
    assert (tried.state, tried.attempts_made) == ("parked", 1)
    assert [entry["result"] for entry in tried.attempts] == ["http_503"]
    assert counters()["error"] == errors + 1
    assert scheduled.trials[-1] == (Trial("pager", 1, 1), 30)
    assert circuits.load("pager").next_trial_at == deps.time() + rate.TRIAL_SECONDS
    due(deps, clock)  # its own retry is due in a minute, so the next trial is another delivery's
    clock.move(-26)
    assert [row.delivery_id for row in app_lists.waiting("pager", clock(), 9)] == ["parked1_0", "parked2_0"]


def failed_trial(deps: DeliverDependencies, clock: Clock, number: int) -> list[str]:
    """Which deliveries the next trial posts, to an endpoint that fails."""
    due(deps, clock)
    endpoint = Endpoint(response(500))
    run(deps, endpoint, trial_message(number))
    return [headers["webhook-id"] for _, headers, _ in endpoint.posted]


def test_what_an_endpoint_fails_at_stood_before_every_trial_of_what_it_would_take(
    deps: DeliverDependencies, clock: Clock
) -> None:
    deps = dataclasses.replace(deps, uniform=lambda low, high: low + 0.01 * (high - low))
    pause(deps)
    run(deps, WELL, *batch(50, "bad"))
    clock.move(1)
    run(deps, WELL, *batch(1, "good"))
    tried = []
    for number in range(2):
        tried += failed_trial(deps, clock, number)
    assert [name.partition("_")[0] for name in tried] == ["bad", "good"]


def paused_and_common(deps: DeliverDependencies, apps: dict[str, App]) -> DeliverDependencies:
    """A paused app that two organisations installed, with lots that are the same each time."""
    apps["pager"] = app("pager", kind="published")
    for owner in ("loud", "quiet"):
        hook = installation(organization_id=owner)
        deps.registry.installed[owner, hook.installation_id] = hook  # type: ignore[attr-defined]
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    return dataclasses.replace(deps, uniform=random.Random(7).uniform)


def test_one_organisation_that_kept_having_deliveries_parked_was_every_trial_of_a_common_app(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App]
) -> None:
    chosen = paused_and_common(deps, apps)
    run(chosen, WELL, *batch(CANDIDATES, "flood", organization_id="loud"))
    tried = list[str]()
    for number in range(12):
        for second in range(40):
            run(chosen, WELL, *batch(1, f"more{number}_{second}", organization_id="loud"))
            clock.move(1)
        if not number:
            run(chosen, WELL, *batch(1, "quiet", organization_id="quiet"))
        tried += failed_trial(chosen, clock, number)
    assert "quiet_0" in tried


@pytest.mark.parametrize("quiet_first", [True, False])
def test_lots_among_fifty_lost_to_an_organisation_that_had_a_thousand_times_as_much_parked(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App], *, quiet_first: bool
) -> None:
    chosen = paused_and_common(deps, apps)
    owners = ["quiet", "loud"] if quiet_first else ["loud", "quiet"]
    for owner in owners:
        run(chosen, WELL, *batch(1000 if owner == "loud" else 1, owner, organization_id=owner))
        clock.move(1)
    tried = list[str]()
    for number in range(6):
        tried += failed_trial(chosen, clock, number)
    assert "quiet_0" in tried
    assert record("quiet_0").replayable_for == "pager"


def test_a_failed_trial_of_the_last_delivery_that_an_organisations_allowance_had_room_for_keeps_its_key(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App]
) -> None:
    apps["pager"] = app("pager", kind="published")
    choice = KeyChoice(10**6, deps.time)  # the share of a process is one record
    deps = dataclasses.replace(deps, index_keys=choice)
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    run(deps, WELL, *batch(1))
    for number in range(2):
        due(deps, clock)
        run(deps, ILL, trial_message(number))
        assert record("msg_0").replayable_for == "pager"


def test_strikes_of_many_organisations_in_one_batch_name_none_of_them(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps["pager"] = app("pager", kind="published")
    each = [batch(1, f"of{number}", organization_id=f"org-{number}")[0] for number in range(5)]
    run(deps, ILL, *each)
    assert circuits.load("pager").struck_by == {EVERYBODY}


def test_a_trial_that_is_asked_to_wait_has_the_next_one_wait_as_long(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, Endpoint(response(503, headers={"retry-after": "600"})), trial_message())
    assert scheduled.trials[-1] == (Trial("pager", 1, 1), 600)
    assert float(circuits.load("pager").next_trial_at) == deps.time() + 600
    assert app_lists.waiting("pager", clock(), 9) == []


def test_what_a_common_apps_endpoint_asked_of_one_organisation_put_off_the_trials_of_all_for_a_day(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App], scheduled: Scheduled
) -> None:
    apps["pager"] = app("pager", kind="published")
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, Endpoint(response(429, headers={"retry-after": "86400"})), trial_message())
    assert scheduled.trials[-1] == (Trial("pager", 1, 1), round(rate.MAX_TRIAL_SECONDS))
    assert record("msg_0").replayable_at.startswith((NOW + timedelta(seconds=30 + 86400)).isoformat()[:16])


def test_who_struck_before_a_pause_counted_again_after_one_that_ended_as_nothing_was_parked(
    deps: DeliverDependencies, clock: Clock
) -> None:
    circuits.strike("pager", 1, 10, {"globex"}, now=T0, seconds=3600)
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    due(deps, clock)
    run(deps, WELL, trial_message())
    left = circuits.load("pager")
    assert (left.strikes, bool(left.struck_by)) == (6, False)


def test_twenty_functions_at_once_make_one_trial(deps: DeliverDependencies, clock: Clock) -> None:
    pause(deps)
    due(deps, clock)
    circuits.load("pager")  # opens the connection before the threads share it
    with ThreadPoolExecutor(20) as pool:
        taken = list(
            pool.map(lambda n: circuits.claim_trial("pager", 1, 0, str(n), now=deps.time(), seconds=30), range(20))
        )
    assert sum(taken) == 1


def test_the_last_delivery_that_waited_for_a_pause_was_tried_for_ever(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, bus: FakeBus
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    message = Trial("pager", 1, 0)
    for _ in range(50):
        due(deps, clock)
        run(deps, ILL, queue_message(message, "trial"))
        if not scheduled.trials or scheduled.trials[-1][0] == message:
            break
        message = scheduled.trials[-1][0]
    assert (record("msg_0").state, record("msg_0").attempts_made, len(record("msg_0").attempts)) == (
        "exhausted",
        4,
        4,
    )
    assert [event_id for _, event_id, _ in bus.events] == ["msg_0-4"]
    # Nothing is left to try, so the next delivery is the trial: one failure that holds its batch is enough.
    assert circuits.load("pager").paused_since is None
    run(deps, Hangs(clock), *batch(1, "next"))
    assert circuits.load("pager").paused_since is not None


def test_what_was_parked_for_as_long_as_its_retries_would_have_taken_is_exhausted_and_announced(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, bus: FakeBus
) -> None:
    pause(deps)
    run(deps, WELL, *batch(30))
    clock.move(deps.policy.span + 1)
    endpoint = Endpoint(response(500))
    run(deps, WELL, *batch(1, "young"))
    scheduled.trials = [(Trial("pager", 1, 0), 0)]
    while scheduled.trials:
        message, _ = scheduled.trials.pop(0)
        run(deps, endpoint, queue_message(message, "trial"))
        if endpoint.posted:
            break
    assert {record(f"msg_{n}").state for n in range(30)} == {"exhausted"}
    assert len(bus.events) == 30
    assert (parked(), len(endpoint.posted)) == (["young_0"], 1)


@pytest.mark.parametrize("first", [40, 0])
def test_what_waited_for_too_long_under_any_key_is_exhausted_when_its_turn_has_come(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, first: int
) -> None:
    deps = dataclasses.replace(deps, policy=RetryPolicy(delays=(5, 60, 300, 86400), lease=30, fresh=190))
    pause(deps)
    for number, key in enumerate(index_keys.further_keys("pager")):
        attempts.open_record(delivery(delivery_id=f"old_{number}"), NextState(PARKED), clock(), list_key=key)
    clock.move(deps.policy.span + 1)
    run(deps, WELL, *batch(first, "young"))
    message, endpoint = Trial("pager", 1, 0), Endpoint(response(500))
    for _ in range(2 * FURTHER_KEYS if first else 1):
        run(deps, endpoint, queue_message(message, "trial"))
        message, wait = scheduled.trials[-1]
        clock.move(wait)
    assert {record(f"old_{number}").state for number in range(FURTHER_KEYS)} == {"exhausted"}
    assert len(endpoint.posted) == (2 * FURTHER_KEYS if first else 0)


def test_what_was_exhausted_while_the_bus_was_down_is_announced_later(
    deps: DeliverDependencies, clock: Clock, bus: FakeBus
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    clock.move(deps.policy.span + 1)
    bus.down = True
    assert run(deps, ILL, trial_message()) == ["trial0"]
    assert record("msg_0").state == "exhausted"
    bus.down = False
    clock.move(31)
    run(deps, ILL, trial_message(receive_count=2))
    assert [event_id for _, event_id, _ in bus.events] == ["msg_0-0"]
    assert str(record("msg_0").replayable_at).startswith("exhausted#")


def test_what_was_parked_while_the_app_was_off_is_as_young_as_the_pause(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App]
) -> None:
    apps["pager"] = app(state="disabled")
    run(deps, WELL, *batch(1))
    clock.move(deps.policy.span + 100)
    apps["pager"] = app()
    pause(deps)
    due(deps, clock)
    run(deps, ILL, trial_message())
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("parked", 1)


def test_a_parked_delivery_whose_hook_is_gone_is_no_trial(deps: DeliverDependencies, clock: Clock) -> None:
    pause(deps)
    run(deps, WELL, *batch(1, "gone", installation_id="uninstalled"), *batch(1))
    due(deps, clock)
    endpoint = Endpoint(response(500))
    run(deps, endpoint, trial_message())
    assert (len(endpoint.posted), record("gone_0").state) == (1, "withdrawn")
    assert record("msg_0").attempts_made == 1


def test_trials_were_wasted_on_deliveries_of_an_installation_that_is_gone(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    pause(deps)
    run(deps, WELL, *batch(60, "gone", installation_id="uninstalled"))
    clock.move(1)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    scheduled.trials = [(Trial("pager", 1, 0), 0)]
    endpoint = Endpoint(response(200))
    while scheduled.trials and not endpoint.posted:
        message, wait = scheduled.trials.pop(0)
        assert wait in {0, AGAIN_SECONDS}
        clock.move(wait)
        run(deps, endpoint, queue_message(message, "trial"))
    assert record("msg_0").state == "delivered"
    assert circuits.load("pager").paused_since is None


def test_a_trial_that_passed_over_much_had_its_neighbours_in_the_batch_come_back(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust = attempts.exhaust

    def slowly(*call: Any) -> Any:
        clock.move(0.1)
        return exhaust(*call)

    apps["quick"] = app("quick")
    pause(deps)
    run(deps, WELL, *batch(CANDIDATES))
    clock.move(deps.policy.span + 1)
    monkeypatch.setattr(attempts, "exhaust", slowly)
    neighbours = batch(9, "quick", app_id="quick", enqueued_at=deps.time())
    end = deps.time() + 30
    invocation = Invocation(lambda: round(1000 * (end - deps.time())))
    assert process([trial_message(), *neighbours], dataclasses.replace(deps, transport=WELL), invocation) == []


# ---- How it ends


def test_a_trial_that_succeeds_ends_the_pause_and_releases_what_is_parked(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(3))
    due(deps, clock)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, trial_message())
    row = circuits.load("pager")
    assert (len(endpoint.posted), row.closed_at, circuits.paused_since(row, 1)) == (1, deps.time(), None)
    assert (released(deps), record("msg_0").state) == ([("pager", 1)], "delivered")
    clock.move(1)
    run(deps, endpoint, *batch(5, "slow"))
    assert len(endpoint.posted) == 2
    clock.move(60)
    run(deps, endpoint, *batch(5, "free"))
    assert len(endpoint.posted) == 7


def test_a_refusal_shows_that_the_endpoint_is_well_and_is_released_with_the_others(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(2))
    due(deps, clock)
    run(deps, Endpoint(response(422)), trial_message())
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("parked", 1)
    assert circuits.load("pager").paused_since is None
    assert (released(deps), parked()) == ([("pager", 1)], ["msg_1", "msg_0"])


def test_a_trial_that_was_refused_and_whose_circuit_could_not_be_written_lost_its_delivery(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    with monkeypatch.context() as patch:
        patch.setattr(circuits, "close_circuit", unwritable)
        assert run(deps, Endpoint(response(422)), trial_message()) == ["trial0"]
    clock.move(61)
    assert run(deps, WELL, trial_message(receive_count=2)) == []
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("delivered", 2)


def test_a_delivery_that_its_trial_exhausted_while_the_bus_was_down_was_never_announced(
    deps: DeliverDependencies, clock: Clock, bus: FakeBus
) -> None:
    deps = dataclasses.replace(deps, policy=RetryPolicy(delays=(300,), lease=30, fresh=190))
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, ILL, trial_message())
    clock.move(301)
    bus.down = True
    assert run(deps, ILL, trial_message(1)) == ["trial1"]
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("exhausted", 2)
    bus.down = False
    clock.move(31)
    run(deps, ILL, trial_message(1, receive_count=2))
    assert [event_id for _, event_id, _ in bus.events] == ["msg_0-2"]
    assert str(record("msg_0").replayable_at).startswith("exhausted#")


def test_what_failed_before_the_pause_does_not_pause_again_after_it(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, WELL, trial_message())
    clock.move(61)
    run(deps, ILL, *batch(9, "one"))
    assert circuits.load("pager").paused_since is None


def test_a_release_that_may_not_have_been_sent_is_sent_again(deps: DeliverDependencies, clock: Clock) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, WELL, trial_message())
    run(deps, WELL, trial_message(receive_count=2))
    assert released(deps) == [("pager", 1)] * 2


def test_trials_end_with_the_generation_and_wait_for_a_process_that_is_behind(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    pause(deps)
    assert run(deps, WELL, trial_message(generation=3)) == ["trial0"]
    apps["pager"] = app(state="disabled", generation=2)
    assert run(deps, WELL, trial_message()) == []
    apps["pager"] = app(generation=3)
    assert run(deps, WELL, trial_message()) == []
    assert len(recorded(deps).logged("trials ended: the app was switched off, or is gone")) == 2


# ---- Messages that are lost, late or doubled


def test_a_trial_that_comes_too_early_is_sent_again_for_its_time(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    clock.move(12)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, trial_message())
    assert (endpoint.posted, scheduled.trials[-1]) == ([], (Trial("pager", 1, 0), 18))


def test_a_send_whose_response_was_lost_doubled_what_went_round_and_nothing_merged_it(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    waiting = [Trial("pager", 1, 0)] * 4
    for _ in range(3):
        due(deps, clock)
        scheduled.trials = []
        for message in waiting:
            run(deps, ILL, queue_message(message))
        waiting = [message for message, _ in scheduled.trials]
        assert len(waiting) == 1


def test_a_second_copy_that_comes_while_the_trial_is_made_is_dropped(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    due(deps, clock)
    assert circuits.claim_trial("pager", 1, 0, "other", now=deps.time(), seconds=30)
    assert run(deps, WELL, trial_message()) == []
    assert run(deps, WELL, trial_message(receive_count=2)) == ["trial0"]


def test_a_trial_that_waits_for_another_worker_or_a_newer_generation_woke_the_person_on_call(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    due(deps, clock)
    assert circuits.claim_trial("pager", 1, 0, "other", now=deps.time(), seconds=30)
    assert run(deps, WELL, trial_message(receive_count=2)) == ["trial0"]
    assert run(deps, WELL, trial_message(generation=2)) == ["trial0"]
    assert "error" not in {level for level, *_ in recorded(deps).lines}
    assert [line["reason"] for line in recorded(deps).logged("attempt not begun yet: its message comes back")] == [
        "the trial of pager is being made by another worker",
        "this process knows an older generation of pager",
    ]


def test_a_worker_that_died_in_its_trial_does_not_prolong_the_pause_for_ever(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    assert circuits.claim_trial("pager", 1, 0, "dead", now=deps.time(), seconds=30)
    clock.move(31)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, trial_message(receive_count=2)) == []
    assert len(endpoint.posted) == 1


def test_a_worker_that_died_before_it_sent_the_next_trial_has_it_sent_by_its_message(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    run(deps, ILL, trial_message())
    scheduled.trials = []
    clock.move(10)
    run(deps, ILL, trial_message(receive_count=2))
    assert scheduled.trials == [(Trial("pager", 1, 1), 20)]


def test_a_fault_of_ours_in_a_trial_leaves_it_and_its_delivery_free(
    deps: DeliverDependencies, clock: Clock
) -> None:
    class Broken(Endpoint):
        def post(self, *call: Any) -> Any:
            raise MemoryError

    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    assert run(deps, Broken(response(200)), trial_message()) == ["trial0"]
    assert (record("msg_0").state, parked()) == ("parked", ["msg_0"])
    assert record("msg_0").lease is None
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, trial_message(receive_count=2)) == []
    assert len(endpoint.posted) == 1


def test_a_trial_that_succeeded_was_posted_again_each_time_its_circuit_could_not_be_written(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    endpoint = Endpoint(response(200))
    with monkeypatch.context() as patch:
        patch.setattr(circuits, "close_circuit", unwritable)
        assert run(deps, endpoint, trial_message()) == ["trial0"]
    assert (record("msg_0").state, recorded(deps).counts["DeliverySucceeded"]) == ("delivered", 1)
    clock.move(31)
    assert run(deps, endpoint, trial_message(receive_count=2)) == []
    assert len(endpoint.posted) == 1
    assert circuits.load("pager").paused_since is None


def test_a_trial_whose_message_was_lost_is_sent_again_by_the_next_delivery(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    pause(deps)
    scheduled.trials = []
    clock.move(rate.TRIAL_SECONDS + OVERDUE_SECONDS + deps.policy.lease)
    for number in range(3):
        run(deps, WELL, *batch(2, f"late{number}"))
    assert scheduled.trials == [(Trial("pager", 1, 0), 0)]


def test_a_circuit_that_the_version_before_opened_gets_its_trials(
    deps: DeliverDependencies, scheduled: Scheduled, clock: Clock
) -> None:
    circuits.Circuit("pager", generation=1, paused_since=T0 - 5000, next_trial_at=T0 - 4000).save()
    old: Delivery = delivery(delivery_id="msg_old")
    assert attempts.open_record(old, NextState("retrying", T0), NOW)
    waited = '{"v": 1, "kind": "retry", "delivery_id": "msg_old", "app_id": "pager", "next_attempt": 1'
    body = waited + f', "deferred_since": {T0 - 4000}}}'
    assert deliveries.decode(body) == Retry("msg_old", "pager", 1)
    run(deps, WELL, queue_message(Retry("msg_old", "pager", 1)))
    assert parked() == ["msg_old"]
    [(message, _)] = scheduled.trials
    run(deps, WELL, queue_message(message))
    assert (record("msg_old").state, released(deps)) == ("delivered", [("pager", 1)])


# ---- Writes whose responses are lost: the SDK repeats them, and its second try finds the condition gone


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of a circuit is made twice, and only the second one's response arrives."""
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def again(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "UpdateItem" and arguments["TableName"] == circuits.Circuit.Meta.table_name:
            call(client, operation, arguments)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", again)


@pytest.mark.usefixtures("twice")
def test_a_pause_whose_begin_was_not_confirmed_had_no_trial(
    deps: DeliverDependencies, scheduled: Scheduled
) -> None:
    for number in range(5):  # each failure is counted twice
        run(deps, ILL, *batch(1, f"failed{number}"))
    assert circuits.load("pager").paused_since is not None
    assert scheduled.trials == [(Trial("pager", 1, 0), 30)]


def test_a_pause_whose_end_was_not_confirmed_released_nothing(
    deps: DeliverDependencies, clock: Clock, request: pytest.FixtureRequest
) -> None:
    pause(deps)
    run(deps, WELL, *batch(3))
    due(deps, clock)
    request.getfixturevalue("twice")
    assert run(deps, WELL, trial_message()) == []
    assert circuits.load("pager").paused_since is None
    assert released(deps) == [("pager", 1)]


def test_a_trial_whose_end_was_not_confirmed_was_the_last(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, request: pytest.FixtureRequest
) -> None:
    pause(deps)
    run(deps, WELL, *batch(3))
    due(deps, clock)
    request.getfixturevalue("twice")
    assert run(deps, ILL, trial_message()) == []
    assert scheduled.trials[-1] == (Trial("pager", 1, 1), 30)


# ---- What a trial may find


def test_a_strike_in_a_pause_longer_than_the_window_had_its_process_take_the_app_for_well(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    clock.move(3601)
    trial.take_in([strikes.Sign("pager", 1, well=False, strikes=1)], deps)
    assert run(deps, WELL, *batch(1)) == []
    assert record("msg_0").state == "parked"


def test_an_app_without_a_secret_held_its_trial_and_the_parked_delivery_until_the_leases_ended(
    deps: DeliverDependencies, clock: Clock
) -> None:
    pause(deps)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    without = dataclasses.replace(deps, secrets=Secrets(None))
    assert run(without, WELL, trial_message()) == ["trial0"]
    assert not record("msg_0").lease
    assert not circuits.load("pager").trial_lease
    assert run(deps, WELL, trial_message(receive_count=2)) == []
    assert record("msg_0").state == "delivered"


def test_records_that_have_expired_and_are_still_listed_stood_before_every_trial(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled
) -> None:
    pause(deps)
    run(deps, WELL, *batch(60, "expired"))
    for number in range(60):
        row = record(f"expired_{number}")
        row.update(actions=[attempts.DeliveryRecord.expires_at.set(int(deps.time()))])
    clock.move(1)
    run(deps, WELL, *batch(1))
    due(deps, clock)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, trial_message()) == []
    assert scheduled.trials[-1] == (Trial("pager", 1, 1), round(AGAIN_SECONDS))
    assert len(parked()) == 60 + 1 - CANDIDATES  # the others left the list
    clock.move(AGAIN_SECONDS)
    assert run(deps, endpoint, trial_message(1)) == []
    assert (len(endpoint.posted), record("msg_0").state) == (1, "delivered")


def test_a_list_that_lags_behind_had_trials_come_one_after_another_without_a_break(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(deps)
    run(deps, WELL, *batch(3))
    clock.move(deps.policy.span + 1)
    lagging = app_lists.waiting("pager", clock(), 50)
    monkeypatch.setattr(app_lists, "waiting", lambda *_, **__: lagging)
    for number in range(3):
        scheduled.trials = []
        assert run(deps, ILL, trial_message(number)) == []
        assert [wait for _, wait in scheduled.trials] == [AGAIN_SECONDS]
        clock.move(31)


def test_a_circuit_that_did_not_respond_had_what_it_paused_parked_for_ever_or_brought_back_until_it_was_dead(
    deps: DeliverDependencies, clock: Clock, scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise GetError("the table does not respond")

    pause(deps)
    run(deps, WELL, *batch(1))
    scheduled.sent = []
    deps = dataclasses.replace(deps, uniform=lambda low, high: low)
    with monkeypatch.context() as patch:
        patch.setattr(circuits, "load", down)
        assert run(deps, WELL, *batch(5, "late")) == []
    assert parked() == ["msg_0"]
    assert [wait for _, wait in scheduled.sent] == [60] * 5
    clock.move(60)
    assert run(deps, WELL, *(queue_message(retry) for retry, _ in scheduled.sent)) == []
    assert len(parked()) == 6


def test_an_overdue_trial_that_could_not_be_sent_again_brings_nothing_back(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause(deps)
    clock.move(rate.TRIAL_SECONDS + OVERDUE_SECONDS + deps.policy.lease)
    monkeypatch.setattr(circuits, "postpone_trial", unwritable)
    assert run(deps, WELL, *batch(5, "late")) == []
    assert len(parked()) == 5
    assert recorded(deps).logged("overdue trial not sent again: the app's next delivery will try")
