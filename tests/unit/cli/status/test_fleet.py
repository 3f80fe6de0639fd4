from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from bellhop import attempts, circuits, outcomes
from bellhop.attempts import PARKED, RETRYING, NextState
from bellhop.circuits import Circuit
from bellhop.outcomes import OutcomeDelta
from bellhop.registry import DISABLED, AuditEntry
from infra.cli.status import fleet
from tests.support.fakes import app, delivery

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("aws")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    calls, call = list[str](), vars(BaseClient)["_make_api_call"]

    def noted(client: Any, operation: str, arguments: Any) -> Any:
        calls.append(operation)
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        yield calls


def pause(app_id: str) -> None:
    Circuit(app_id, generation=1, paused_since=NOW.timestamp() - 60, next_trial_at=NOW.timestamp() + 9).save()


def switch_off(app_id: str, mail: str = "sent") -> None:
    app(app_id=app_id, state=DISABLED, generation=2).save()
    AuditEntry(
        app_id,
        "00000001#disabled",
        organization_id="acme",
        action="app.disabled",
        actor="operator:ada",
        at=(NOW - timedelta(hours=2)).isoformat(),
        evidence={"rule": "operator", "reason": "asked"},
        mails={"ada@acme.example": mail},
    ).save()


def test_each_app_is_in_the_condition_that_it_stands_in() -> None:
    for name in ("well", "paused", "off", "slow", "refusing"):
        app(app_id=name).save()
    pause("paused")
    switch_off("off")
    circuits.list_slow(["slow"])
    counts = OutcomeDelta("refusing", "acme", 1, NOW.date(), success=1, error=2)
    outcomes.add(counts, lambda _: None)
    found = {each.app.app_id: each for each in fleet.read(NOW).apps}
    conditions = {name: each.name for name, each in found.items()}
    assert conditions == {"well": "on", "paused": "paused", "off": "off", "slow": "slow", "refusing": "failing"}
    assert found["paused"].brief() == "1 min, next trial in 9 s"
    assert found["off"].brief() == "2 h, by operator:ada"
    assert "off since 2026-11-27 10:00:00 UTC (2 h ago) by operator:ada: asked" in found["off"].text()
    assert found["refusing"].brief() == "today 2 of 3 failed"


def test_what_a_busy_app_has_parked_under_further_keys_is_counted_too() -> None:
    app(app_id="paused").save()
    pause("paused")
    for number, key in enumerate(["paused", "paused#1", "paused#15"]):
        parked = delivery(delivery_id=f"msg_{number}", app_id="paused")
        attempts.open_record(parked, NextState(PARKED), NOW, key=key)
    assert fleet.read(NOW).parked == (3, True)


def test_what_is_parked_is_counted_for_apps_that_are_off_or_paused() -> None:
    app().save()
    pause("pager")
    for number in range(3):
        attempts.open_record(delivery(delivery_id=f"msg_{number}"), NextState(PARKED), NOW)
    read = fleet.read(NOW)
    assert read.parked == (3, True)
    assert "3 parked" in read.apps[0].brief()


def test_what_waits_for_a_retry_is_counted_over_all_apps() -> None:
    for number in range(5):
        state = NextState(RETRYING, NOW.timestamp() + 60)
        attempts.open_record(delivery(delivery_id=f"msg_{number}"), state, NOW)
    assert fleet.count_retrying() == (5, True)


def test_mails_that_may_not_have_arrived_are_found() -> None:
    switch_off("off", mail="unknown")
    (each,) = fleet.read(NOW).apps
    assert [entry.transition_id for entry in each.undelivered_mails] == ["00000001#disabled"]


def test_the_number_of_calls_does_not_grow_with_apps_that_are_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def calls_with(number: int) -> int:
        for made in range(number):
            app(app_id=f"app-{made}").save()
        with counted(monkeypatch) as calls:
            assert len(fleet.read(NOW).apps) == number
        return len(calls)

    of_one_page = calls_with(100)
    assert calls_with(200) - of_one_page <= 3  # one more page of apps, of circuits and of counters


def test_a_stack_without_apps_is_read() -> None:
    assert not fleet.read(NOW).apps


def test_what_is_parked_is_counted_for_so_many_apps_and_then_said_to_be_the_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(fleet.COUNTED_APPS + 5):
        app(app_id=f"app-{number}").save()
        pause(f"app-{number}")
        parked = delivery(delivery_id=f"msg_{number}", app_id=f"app-{number}")
        attempts.open_record(parked, NextState(PARKED), NOW)
    with counted(monkeypatch) as calls:
        assert fleet.read(NOW).parked == (fleet.COUNTED_APPS, False)
    assert calls.count("Query") <= fleet.COUNTED_APPS * 16 + 10
