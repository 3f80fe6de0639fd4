"""Days in the life of an app whose endpoint fails, through the real functions and a clock that is moved."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import app_lists, attempts, circuits
from bellhop.registry import App, AuditEntry
from deliver.http.response import Response, SendFailure
from health import transitions
from health.messages import FollowUp
from health.rules import Thresholds
from tests.simulation.simulated_functions import Fleet, streaming
from tests.support.endpoint import TIMEOUT, Endpoint, response
from tests.support.fakes import app, installation, issue_event, organization
from tests.support.ses import ADA, BOB

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def fleet(aws: None, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    app().save()
    organization(owners=[ADA, BOB]).save()
    installation().save()
    made = Fleet(Endpoint(response(500, b"it is broken")))
    made.clock.now = MONDAY
    streaming(made, monkeypatch)
    return made


class PingsOnly(Endpoint):
    """Takes pings, and responds to everything else as told."""

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        ping = headers["Sentry-Hook-Resource"] == "ping"
        return response(200) if ping else super().post(app_id, url, headers, body, seconds)


def day(number: int, hour: float = 0) -> datetime:
    """The moment on day `number`, from 1."""
    return MONDAY + timedelta(days=number - 1, hours=hour)


def publish(fleet: Fleet, number: int, events: int = 2) -> list[str]:
    """Publish a day's events, one every few hours."""
    names = [f"d{number}-{n}" for n in range(events)]
    for n, name in enumerate(names):
        fleet.publish(issue_event(event_id=name), n * 86_000 / events)
    return names


def subjects(fleet: Fleet) -> list[tuple[str, str]]:
    return [
        (mail["Destination"]["ToAddresses"][0], mail["Content"]["Simple"]["Subject"]["Data"])
        for mail in fleet.ses.sent
    ]


def state() -> tuple[str, int]:
    found = App.get("pager", consistent_read=True)
    return found.state, int(found.generation)


def history() -> list[str]:
    entries = sorted(AuditEntry.query("pager"), key=lambda entry: entry.at)
    return [f"{entry.at[8:10]} {entry.action} {entry.evidence['rule']}" for entry in entries]


def switch_on(fleet: Fleet) -> None:
    """What `bellhop enable --force` does."""
    deps = transitions.TransitionDependencies(
        AuditEntry._get_connection().connection, fleet.queues().announce, fleet.telemetry, fleet.clock
    )
    shown = {"rule": "operator", "days": [], "replay": {"states": ["parked"]}}
    assert transitions.enable(App.get("pager"), "operator:ann", shown, deps, tell_owners=False)


def test_an_endpoint_that_responds_with_500_is_warned_about_switched_off_and_loses_nothing(fleet: Fleet) -> None:
    for number in range(1, 8):
        publish(fleet, number)
        fleet.run(day(number + 1))
    assert history() == [
        "25 app.warned errors",
        "27 app.warned errors",
        "28 app.warned errors",
        "29 app.disabled errors",
    ]
    assert state() == ("disabled", 2)
    assert Counter(subjects(fleet)[-2:]) == dict.fromkeys(
        [(owner, "Action required: Fix your Pager integration") for owner in (ADA, BOB)], 1
    )
    assert Counter(owner for owner, _ in subjects(fleet)) == {ADA: 4, BOB: 4}
    assert [event["DetailType"] for event in fleet.published if ".app." in event["DetailType"]] == [
        *["bellhop.app.warned"] * 3,
        "bellhop.app.disabled",
    ]

    names = publish(fleet, 8)
    fleet.run(day(9))
    assert app_lists.replayable("pager", None, 1000)
    fleet.endpoint.responses = [response(200)]
    fleet.posted.clear()
    switch_on(fleet)
    fleet.run(day(9, 6))
    assert (state(), len(subjects(fleet))) == (("enabled", 3), 8)
    arrived = Counter(webhook for _, webhook in fleet.posted)
    assert set(arrived.values()) == {1}
    records = [r for r in attempts.DeliveryRecord.scan() if r.event_id in names]
    assert {r.state for r in records} == {"delivered"}
    assert {r.delivery_id for r in records} <= set(arrived)
    assert [r for r in app_lists.replayable("pager", None, 1000) if r.state == "parked"] == []

    publish(fleet, 9)
    fleet.run(day(10))
    assert state() == ("enabled", 3)
    assert len(subjects(fleet)) == 8


def test_one_failure_after_switching_on_does_not_switch_off_again(fleet: Fleet) -> None:
    fleet.endpoint.responses = [response(410)]
    publish(fleet, 1, events=1)
    fleet.run(day(1, 1))
    assert state() == ("disabled", 2)
    fleet.endpoint.responses = [response(500)]
    switch_on(fleet)
    publish(fleet, 1)
    fleet.run(day(2))
    assert state() == ("enabled", 3)


def test_a_busy_endpoint_that_hangs_is_paused_and_after_hours_of_vain_trials_switched_off(fleet: Fleet) -> None:
    fleet.set_thresholds(Thresholds(1000, 7, pause_hours=6))
    fleet.endpoint.responses = [TIMEOUT]
    for n in range(12):
        fleet.publish(issue_event(event_id=f"busy-{n}"), n)
    fleet.run(day(1, 1))
    assert circuits.load("pager").paused_since
    fleet.run(day(1, 7))
    assert history() == [*["23 app.warned pause"] * 3, "23 app.disabled pause"]
    assert len(fleet.posted) < 100
    assert Counter(subjects(fleet)[-2:]).keys() == {
        (owner, "Action required: Fix your Pager integration") for owner in (ADA, BOB)
    }


def test_a_good_day_in_between_ends_the_run(fleet: Fleet) -> None:
    for number in range(1, 10):
        fleet.endpoint.responses = [response(200 if number == 5 else 500)]
        publish(fleet, number)
        fleet.run(day(number + 1))
    assert history() == ["25 app.warned errors", "30 app.warned errors"]
    assert state() == ("enabled", 1)


def test_an_app_that_asked_for_it_comes_back_by_itself_when_its_endpoint_does(fleet: Fleet) -> None:
    app(auto_enable=True).save()
    fleet.endpoint.responses = [response(410)]
    publish(fleet, 1, events=1)
    fleet.run(day(1, 10))
    assert state() == ("disabled", 2)
    names = publish(fleet, 2)
    fleet.run(day(2))
    fleet.endpoint.responses = [response(200)]
    fleet.run(day(4))
    assert state() == ("enabled", 3)
    assert subjects(fleet)[-1][1] == "Your Pager integration is on again"
    delivered = {r.event_id for r in attempts.DeliveryRecord.scan() if r.state == "delivered"}
    assert set(names) <= delivered


def test_an_endpoint_that_takes_pings_and_refuses_webhooks_is_switched_on_ever_more_rarely(fleet: Fleet) -> None:
    app(auto_enable=True).save()
    fleet.endpoint = PingsOnly(response(410))
    for hour in range(24):
        fleet.publish(issue_event(event_id=f"h{hour}"), hour * 3600)
    fleet.run(day(2))
    assert sum("app.enabled" in line for line in history()) == 6  # after 1, 2, 4, 8, 16 and 32 quarters of an hour


def test_a_message_of_a_transition_that_comes_ten_times_mails_once(fleet: Fleet) -> None:
    fleet.endpoint.responses = [response(410)]
    publish(fleet, 1, events=1)
    fleet.run(day(1, 1))
    for _ in range(10):
        fleet.queues().announce(FollowUp("pager", "00000001#disabled"))
    fleet.run(day(1, 2))
    assert len(fleet.ses.sent) == 2
