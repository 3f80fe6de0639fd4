"""A resend of many goes on without the command that began it; it can be watched, stopped and gone on with."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bellhop import attempts, resend_jobs, resends, successes
from bellhop.attempts import DELIVERED, EXHAUSTED
from bellhop.resend_jobs import ResendJob, ResendStep
from bellhop.resends import NOT_KEPT, OFF, Chosen
from health import messages
from health.pages import PAGE
from infra.cli import progress
from infra.cli.dead_letters import content
from infra.cli.resending import jobs, selection
from infra.cli.stack import Stack
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import announced
from tests.unit.cli.resendable import HOUR, a_record, a_success, begun, now, prepare, resent_by_health, sent

STACK = Stack("bellhop", {}, {})
OF_PAGER = ("--app", "pager", "--since", "1d")


@pytest.fixture(autouse=True)
def app(cloudformation: CloudFormation) -> None:
    prepare(cloudformation)


def many(number: int = 3) -> list[str]:
    """Deliveries half of which have no record, the oldest first."""
    half = number // 2
    names = [a_record(f"msg_{n:03}", EXHAUSTED, HOUR - n * timedelta(seconds=1)) for n in range(half)]
    return names + [a_success(f"msg_{n:03}", HOUR - n * timedelta(seconds=1)) for n in range(half, number)]


def test_what_is_chosen_is_opened_and_listed_and_health_is_asked_to_send_it() -> None:
    names = many(250)
    said = succeed("resend", *OF_PAGER, "--yes", "--rate", "50")
    assert "250 deliveries follow, the oldest first, 50 a second: about 5 s." in said
    [first] = announced()
    assert isinstance(first, ResendStep)
    assert f"Next: bellhop resend --watch {first.job_id}; bellhop resend --stop {first.job_id}" in said
    pages = [resend_jobs.read_page(first.job_id, number) or [] for number in range(4)]
    assert [len(page) for page in pages] == [100, 100, 50, 0]
    assert [each.delivery_id for page in pages for each in page] == names
    record = attempts.load(names[-1])
    assert record
    assert record.state == DELIVERED
    assert not {"resent_at", "due_shard"} & record.attribute_values.keys()
    assert sent() == []


def test_a_list_that_is_interrupted_changes_nothing_and_can_be_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many(150)
    real = selection.in_turn

    def interrupted(choices: Any) -> Iterator[Any]:
        for number, found in enumerate(real(choices)):
            if number == PAGE + 10:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(selection, "in_turn", interrupted)
        result = bellhop("resend", *OF_PAGER, "--yes")
    assert result.exit_code == 130
    assert "Interrupted: nothing was resent, and every delivery is as it was." in result.stderr
    assert announced() == []
    assert json.loads(succeed("resend", *OF_PAGER, "--dry-run", "--json"))["counts"] == {
        "exhausted": 75,
        "delivered": 75,
    }
    assert begun(*OF_PAGER)["resent"] == 150
    assert resent_by_health()["sent"] == 150


def test_a_list_that_takes_a_while_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    many(150)
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    result = bellhop("resend", *OF_PAGER, "--yes")
    assert "100 of 150 are on the list" in result.stderr


def test_what_is_resent_again_while_it_was_just_opened_is_listed_as_its_record_is() -> None:
    a_success("msg_1")
    for number in (1, 2, 3):
        assert begun(*OF_PAGER)["resent"] == 1
        assert resent_by_health()["sent"] == 1
        assert sent() == [("msg_1", number + 1)]
        record = attempts.load("msg_1")
        assert record
        claimed = attempts.claim("msg_1", number + 1, "worker", now(), 30)
        assert claimed
        made = attempts.Attempt(number + 1, now(), 1, f"r-{number}", "http_200", 200, resent=True)
        attempts.finish(claimed, attempts.NextState(DELIVERED, attempt=made), now())


def test_a_body_that_was_gone_when_its_record_was_to_be_opened_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    a_success("msg_1")
    monkeypatch.setattr(successes, "kept", lambda *_: None)
    document = begun(*OF_PAGER)
    assert (document["job_id"], document["resent"], document["left"]) == (None, 0, {NOT_KEPT: 1})
    assert announced() == []
    a_record("msg_2", EXHAUSTED)
    assert begun(*OF_PAGER)["resent"] == 1
    ended = resent_by_health()
    assert (ended["total"], ended["sent"], ended["left"], ended["waiting"]) == (2, 1, {NOT_KEPT: 1}, 0)


def test_somebody_elses_record_that_was_opened_meanwhile_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    a_success("msg_1")
    real = resends.open_delivered
    monkeypatch.setattr(resends, "open_delivered", lambda *given: real(*given) and False)
    assert begun(*OF_PAGER)["resent"] == 1
    assert resent_by_health()["sent"] == 1


# ---- Watched


def a_job(total: int = 250, **changes: Any) -> str:
    job_id, pages = "5eed", -(-total // PAGE)
    resend_jobs.begin(ResendStep(job_id, 0, 0, {}), total, pages, 10.0, now(), lost_after=8100)
    if changes:
        ResendJob(f"resend#{job_id}").update(
            actions=[getattr(ResendJob, name).set(value) for name, value in changes.items()]
        )
    return job_id


def test_one_is_watched_to_its_end() -> None:
    job_id, slept = a_job(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            resend_jobs.note(ResendStep(job_id, 1, 98, {OFF: 2}), now().timestamp() + 900)
        if len(slept) == 3:
            resend_jobs.end(ResendStep(job_id, 3, 240, {OFF: 10}), now().timestamp())

    found = list(jobs.follow(job_id, now, sleep))
    assert [(each.sent, each.waiting, each.goes_on) for each in found] == [
        (0, 250, True),
        (98, 150, True),
        (240, 0, False),
    ]
    assert "98 of 250 sent since" in found[1].text(STACK)
    assert "2 left, 10 a second: about 15 s." in found[1].text(STACK)
    result = bellhop("resend", "--watch", job_id)
    assert result.exit_code == 1  # not everything was sent
    assert "Resend 5eed over at" in result.stdout
    assert "10 not resent: its app is switched off" in result.stdout
    shown = json.loads(bellhop("resend", "--watch", job_id, "--json").stdout)
    assert (shown["sent"], shown["left"], shown["goes_on"]) == (240, {OFF: 10}, False)


def test_one_that_sent_everything_ends_well() -> None:
    job_id = a_job()
    resend_jobs.end(ResendStep(job_id, 3, 250, {}), now().timestamp())
    assert "250 of 250 sent" in succeed("resend", "--watch", job_id)
    assert "is over: `bellhop resend --app APP" in refused("resend", "--go-on", job_id)


def test_one_whose_message_is_lost_is_said_to_be_and_goes_on_by_hand() -> None:
    job_id = a_job(chain_until=now().timestamp() - 1, page=1, sent=100)
    result = bellhop("resend", "--watch", job_id)
    assert result.exit_code == 1
    assert "Resend 5eed is lost, see `bellhop dead-letters list`: 100 of 250 sent" in result.stdout
    assert "To go on: bellhop resend --go-on 5eed" in result.stdout
    succeed("resend", "--go-on", job_id)
    assert announced() == [ResendStep(job_id, 1, 100, {})]


def test_its_dead_letter_is_named_and_may_go_back() -> None:
    found = content.describe(content.TRANSITIONS, messages.encode(ResendStep("5eed", 1, 100, {})), {})
    assert (found.kind, found.names, found.obstacle) == ("resend", {"job_id": "5eed"}, None)


def test_the_status_shows_those_that_go_on_or_are_lost() -> None:
    a_job()
    assert [each.brief(STACK) for each in jobs.not_over(now())] == [
        "resend: 0 of 250 sent: bellhop resend --watch 5eed"
    ]
    a_job(chain_until=now().timestamp() - 1)
    assert "sent (lost): bellhop" in jobs.not_over(now())[0].brief(STACK)
    resend_jobs.stop("5eed", now().timestamp())
    assert jobs.not_over(now()) == []
    a_job()
    resend_jobs.end(ResendStep("5eed", 3, 250, {}), now().timestamp())
    assert jobs.not_over(now()) == []


def test_the_status_did_not_show_one_that_goes_on_where_others_began_after_it() -> None:
    a_job()
    for number in range(60):
        first, began = ResendStep(f"later{number}", 0, 0, {}), now() + timedelta(seconds=1 + number)
        resend_jobs.begin(first, 1, 1, 10.0, began, lost_after=8100)
        resend_jobs.end(ResendStep(first.job_id, 1, 1, {}), now().timestamp())
    assert [each.job_id for each in jobs.not_over(now())] == ["5eed"]


def test_the_status_shows_one_that_was_gone_on_with() -> None:
    a_job()
    resend_jobs.end(ResendStep("5eed", 1, 100, {}), now().timestamp(), "a person stopped it")
    assert jobs.not_over(now()) == []
    assert resend_jobs.go_on(jobs.load("5eed"), 10.0, now().timestamp(), lost_after=8100)
    assert [each.job_id for each in jobs.not_over(now())] == ["5eed"]


# ---- Stopped, and gone on with


def test_one_is_stopped_and_goes_on_at_another_rate() -> None:
    names = many(3)
    job_id = begun(*OF_PAGER)["job_id"]
    said = succeed("resend", "--stop", job_id)
    assert "Stopped: 0 of 3 sent" in said
    assert f"To go on: bellhop resend --go-on {job_id}" in said
    ended = resent_by_health()
    assert (ended["sent"], ended["waiting"], ended["reason"]) == (0, 3, "a person stopped it")
    assert sent() == []
    assert f"resend {job_id} is over already" in refused("resend", "--stop", job_id)
    assert "5 a second" in succeed("resend", "--go-on", job_id, "--rate", "5")
    ended = resent_by_health()
    assert (ended["sent"], ended["waiting"], ended["reason"], ended["per_second"]) == (3, 0, None, 5.0)
    assert [name for name, _ in sent()] == names


def test_one_went_on_faster_than_at_the_low_rate_that_was_asked_for() -> None:
    many(30)
    job_id = begun(*OF_PAGER)["job_id"]
    succeed("resend", "--stop", job_id)
    said = misused("resend", "--go-on", job_id, "--rate", "0.03")
    assert said == f"error: --rate 0.03 is too slow to go on with resend {job_id}: 0.04 or more\n"
    assert jobs.load(job_id).is_stopped
    assert "0.04 a second" in succeed("resend", "--go-on", job_id, "--rate", "0.04")


def test_one_that_changed_while_it_was_gone_on_with_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    many(3)
    job_id = begun(*OF_PAGER)["job_id"]
    read_page = resend_jobs.read_page

    def ended(name: str, number: int) -> list[Chosen] | None:
        resend_jobs.end(ResendStep(name, 1, 3, {}), now().timestamp())
        return read_page(name, number)

    with monkeypatch.context() as patch:
        patch.setattr(resend_jobs, "read_page", ended)
        assert f"resend {job_id} changed meanwhile" in refused("resend", "--go-on", job_id)
    assert jobs.load(job_id).ended


@pytest.mark.parametrize("option", ["--watch", "--stop", "--go-on"])
def test_a_job_that_nobody_knows_is_an_error(option: str) -> None:
    assert "no resend '5eed' is known" in refused("resend", option, "5eed")


@pytest.mark.parametrize(
    "options",
    [
        ["--watch", "5eed", "--stop", "5eed"],
        ["--stop", "5eed", "--rate", "5"],
        ["--watch", "5eed", "--app", "pager"],
        ["--go-on", "5eed", "msg_1"],
        ["--stop", "5eed", "--since", "1h"],
    ],
)
def test_watching_stopping_and_going_on_stand_alone(options: list[str]) -> None:
    assert "each take a job" in misused("resend", *options)
