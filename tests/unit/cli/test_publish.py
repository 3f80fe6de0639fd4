import itertools
import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
import typer
from botocore.exceptions import NoCredentialsError

from bellhop import handled_events
from bellhop.backoff import Backoff
from bellhop.client import Publisher
from bellhop.events import parse
from bellhop.registry import App, Installation
from infra.cli import arrivals, events_file
from infra.cli.arrivals import Arrival
from infra.cli.commands.publish import send
from infra.cli.destinations import Destination
from infra.cli.errors import CommandError
from infra.cli.events_file import FileEvent
from infra.cli.progress import ProgressLines
from tests.support.fakes import app, installation
from tests.unit.cli.cli_runner import EXAMPLE, CloudFormation, bellhop, refused, succeed

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    names = {"event_id": f"e-{number}", "type": "created", "organization_id": "4501", "project_id": "frontend"}
    return names | {"issue": {"id": number}} | fields


def some(number: int) -> list[FileEvent]:
    return events_file.read(json.dumps([event(n) for n in range(number)]))


class Sqs:
    """Takes every event but those of `refused`; the call number `failing` raises `fault`."""

    def __init__(
        self, refused: frozenset[str] = frozenset(), failing: int = -1, fault: BaseException | None = None
    ) -> None:
        self.refused, self.failing, self.fault = refused, failing, fault

    def send_message_batch(self, Entries: list[dict[str, str]], **_: object) -> dict[str, Any]:  # noqa: N803
        if self.fault and int(Entries[0]["Id"]) == self.failing * 10:
            raise self.fault
        taken = [entry["Id"] for entry in Entries if entry["Id"] not in self.refused]
        failed = [entry["Id"] for entry in Entries if entry["Id"] in self.refused]
        return {
            "Successful": [{"Id": number, "MessageId": "m"} for number in taken],
            "Failed": [{"Id": number, "Code": "InternalError", "SenderFault": False} for number in failed],
        }

    def publisher(self) -> Publisher:
        return Publisher("url", cast("SQSClient", self), Backoff(0.0, sleep=lambda _: None))


def test_what_sqs_does_not_take_is_named_with_the_way_to_go_on() -> None:
    with pytest.raises(CommandError) as caught:
        send(some(3), Sqs(refused=frozenset({"1"})).publisher(), "bellhop publish f", skip=100)
    assert caught.value.lines == (
        "SQS did not take event e-1: InternalError",
        "2 of 3 events sent; go on with: bellhop publish f --skip 101",
    )


def test_a_fault_of_aws_is_explained_and_says_how_many_went() -> None:
    with pytest.raises(CommandError) as caught:
        send(some(25), Sqs(failing=1, fault=NoCredentialsError()).publisher(), "bellhop publish f")
    assert caught.value.lines[0].startswith("Unable to locate credentials: set AWS_PROFILE")
    assert caught.value.lines[1] == "15 of 25 events sent; go on with: bellhop publish f --skip 10"


def test_an_interruption_says_how_many_went_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    interrupted = Sqs(failing=24, fault=KeyboardInterrupt())
    with pytest.raises(typer.Exit) as caught:
        send(some(250), interrupted.publisher(), "bellhop publish f")
    assert caught.value.exit_code == 130
    said = capsys.readouterr().err
    assert said.startswith("Interrupted: at least ")
    assert " of 250 events sent; go on with: bellhop publish f --skip " in said


@pytest.mark.usefixtures("progress_after_a_second")
def test_more_than_a_seconds_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    ticks = itertools.count()
    send(some(4), Sqs().publisher(), "bellhop publish f", progress=ProgressLines(clock=lambda: next(ticks) * 0.6))
    assert capsys.readouterr().err.splitlines() == ["2 of 4 sent", "4 of 4 sent"]
    send(some(4), Sqs().publisher(), "bellhop publish f", progress=ProgressLines(clock=lambda: 0.0))
    assert capsys.readouterr().err == ""


REGISTERED = pytest.mark.usefixtures("cloudformation")


@REGISTERED
def test_publish_sends_the_event_and_says_which_and_where_to_look(queue: str) -> None:
    succeed("apply", EXAMPLE, "--yes")
    shown = succeed("publish", "-", stdin=json.dumps(event()))
    assert "issue.created" in shown
    assert "1 published. Next: bellhop event 4501 e-1\n" in shown
    assert json.loads(succeed("publish", "-", "--json", stdin=json.dumps([event()]))) == [
        {"event_id": "e-1", "organization_id": "4501", "event": "issue.created"}
    ]
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "2"


@REGISTERED
def test_publish_warns_of_what_reaches_nobody() -> None:
    succeed("apply", EXAMPLE, "--yes")
    App("deploy-bot").update(actions=[App.state.set("disabled")])
    many = [event(1), event(2, organization_id="nowhere"), event(3, organization_id="nowhere")]
    many.append(event(4, resource="error", type="created"))
    many.append(event(5, installation_id="i-9"))
    result = bellhop("publish", "-", stdin=json.dumps(many))
    assert result.exit_code == 0
    assert "5 published. Next: bellhop log deploy-bot" in result.stdout
    assert result.stderr.splitlines() == [
        "warning: organisation nowhere is not registered: nobody gets issue.created (2 events, such as e-2)",
        "warning: no installation of 4501 wants error.created (event e-4): event_not_in_app",
        "warning: no installation of 4501 wants issue.created (event e-5): missing_installation",
        "warning: app deploy-bot is switched off: what it gets is parked until `bellhop enable deploy-bot`",
    ]


@REGISTERED
def test_publish_names_no_app_where_none_gets_anything() -> None:
    result = bellhop("publish", "-", stdin=json.dumps([event(1), event(2)]))
    assert result.stdout.endswith("2 published.\n")
    assert "4501 is not registered" in result.stderr


@REGISTERED
def test_of_many_events_the_first_are_listed() -> None:
    result = bellhop("publish", "-", stdin=json.dumps([event(n) for n in range(25)]))
    assert "e-19 " in result.stdout
    assert "e-20 " not in result.stdout
    assert "... and 5 more\n25 published" in result.stdout


@REGISTERED
def test_publish_goes_on_where_it_was_interrupted(queue: str) -> None:
    three = json.dumps([event(n) for n in range(3)])
    assert "1 published" in bellhop("publish", "-", "--skip", "2", stdin=three).stdout
    [message] = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["event_id"] == "e-2"
    assert "leaves nothing of 3 events to send" in refused("publish", "-", "--skip", "3", stdin=three)


@REGISTERED
def test_publish_refuses_all_when_one_is_malformed(queue: str) -> None:
    said = refused("publish", "-", stdin=json.dumps([event(1), event(2, event_id="a b")]))
    assert 'event [1], line 1: event_id: is "a b", which is no event id' in said
    messages = boto3.client("sqs").receive_message(QueueUrl=queue)
    assert "Messages" not in messages


@REGISTERED
def test_a_dry_run_says_which_apps_would_get_how_many_events_and_sends_nothing(queue: str) -> None:
    succeed("apply", EXAMPLE, "--yes")
    many = json.dumps([event(1), event(2), event(3, type="resolved"), event(4, organization_id="nowhere")])
    result = bellhop("publish", "-", "--dry-run", stdin=many)
    assert result.exit_code == 0
    assert [each.split() for each in result.stdout.splitlines()[:3]] == [
        ["app", "events", "deliveries"],
        ["deploy-bot", "3", "3"],
        ["pager", "2", "2"],
    ]
    assert result.stdout.endswith("3 of 4 events would reach an app. Nothing was sent.\n")
    assert "nowhere is not registered: nobody gets issue.created (event e-4)" in result.stderr
    assert "Messages" not in boto3.client("sqs").receive_message(QueueUrl=queue)


@REGISTERED
def test_a_dry_run_asks_the_filters_and_warns_of_one_that_cannot_be_evaluated() -> None:
    succeed("apply", EXAMPLE, "--yes")
    [hook] = Installation.query("4501", filter_condition=Installation.app_id == "pager")
    hook.update(
        actions=[Installation.filter.set("data.issue.level != 'info' && contains(data.issue.culprit, 'x')")]
    )
    issues: list[dict[str, Any]] = [{"level": "info"}, {"level": "fatal", "culprit": "x"}, {"culprit": None}]
    many = [event(n, issue={"id": n} | issue) for n, issue in enumerate(issues)]
    result = bellhop("publish", "-", "--dry-run", stdin=json.dumps(many))
    assert ["pager", "2", "2"] in [each.split() for each in result.stdout.splitlines()]
    failed = "contains() does not take a value of type null"
    assert result.stderr.splitlines() == [
        f"warning: the filter of app pager cannot be evaluated on e-2, so it keeps nothing back: {failed}"
    ]
    documents = json.loads(succeed("publish", "-", "--dry-run", "--json", stdin=json.dumps(many[0])))
    assert documents[0]["skipped"] == {"filtered_out": 1}
    assert documents[0]["skipped_apps"] == [{"app_id": "pager", "reason": "filtered_out"}]


@REGISTERED
def test_a_dry_run_shows_what_an_app_with_a_transform_would_get_and_warns_where_it_fails() -> None:
    succeed("apply", EXAMPLE, "--yes")
    App("pager").update(actions=[App.transform.set("{text: join(': ', [action, data.issue.title])}")])
    many = [event(1, issue={"id": 1, "title": "Ünï"}), event(2, issue={"id": 2, "title": None})]
    result = bellhop("publish", "-", "--dry-run", stdin=json.dumps(many))
    assert 'pager would get of e-1: {"text":"created: Ünï"}' in result.stdout
    assert ["pager", "1", "1"] in [each.split() for each in result.stdout.splitlines()]
    failed = "join() does not take a value of type null"
    assert result.stderr.splitlines() == [
        f"warning: the transform of app pager fails on e-2, so it does not get it: {failed}"
    ]
    documents = json.loads(succeed("publish", "-", "--dry-run", "--json", stdin=json.dumps(many[0])))
    bodies = {each["app_id"]: each["transformed"] for each in documents[0]["deliveries"]}
    assert bodies["pager"] == {"text": "created: Ünï"}
    assert {app_id for app_id, body in bodies.items() if body is None} == set(bodies) - {"pager"}


@REGISTERED
def test_a_filter_and_a_transform_that_fail_on_the_same_event_do_not_contradict_each_other() -> None:
    succeed("apply", EXAMPLE, "--yes")
    App("pager").update(actions=[App.transform.set("{text: join(': ', [action, data.issue.title])}")])
    [hook] = Installation.query("4501", filter_condition=Installation.app_id == "pager")
    hook.update(actions=[Installation.filter.set("contains(data.issue.culprit, 'x')")])
    said = bellhop("publish", "-", "--dry-run", stdin=json.dumps(event(1))).stderr.splitlines()
    assert ["so it keeps nothing back" in said[0], "so it does not get it" in said[1]] == [True, True]


@REGISTERED
def test_an_interruption_while_it_waits_shows_what_was_seen_and_that_all_is_sent(
    monkeypatch: pytest.MonkeyPatch, queue: str
) -> None:
    def interrupted(destinations: Sequence[Destination], *_: Any) -> Iterator[dict[str, Arrival]]:
        yield {each.delivery_id: Arrival("delivered") for each in destinations if each.position == 0}
        raise KeyboardInterrupt

    monkeypatch.setattr(arrivals, "watch", interrupted)
    succeed("apply", EXAMPLE, "--yes")
    result = bellhop("publish", "-", "--wait", "1m", stdin=json.dumps([event(1), event(2)]))
    assert result.exit_code == 130
    assert result.stderr == "Interrupted. What is published goes on without this command.\n"
    became = [row.split()[2:] for row in result.stdout.splitlines() if row.startswith("e-")]
    assert became.count(["deploy-bot", "delivered"]) == 1
    assert became.count(["deploy-bot", "not", "seen", "yet"]) == 1
    assert "Messages" in boto3.client("sqs").receive_message(QueueUrl=queue)


@REGISTERED
def test_the_log_of_an_app_that_got_all_of_it_was_named_and_not_that_of_one_that_did_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_but_one(destinations: Sequence[Destination], *_: Any) -> Iterator[dict[str, Arrival]]:
        yield {each.delivery_id: Arrival("delivered") for each in destinations if each.app_id != "pager"}

    monkeypatch.setattr(arrivals, "watch", all_but_one)
    succeed("apply", EXAMPLE, "--yes")
    shown = succeed("publish", "-", "--wait", "1m", stdin=json.dumps([event(1), event(2)]))
    assert shown.endswith("2 published. Next: bellhop log pager\n")


@REGISTERED
def test_who_waits_for_an_event_is_told_which_apps_are_skipped_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "watch", lambda *_: {})
    succeed("apply", EXAMPLE, "--yes")
    for name in "abcdef":
        app(f"x-{name}", events=["error.created"]).save()
        installation(f"x-{name}", organization_id="4501").save()
    result = bellhop("publish", "-", "--wait", "1s", stdin=json.dumps(event(type="resolved")))
    rows = [re.split(r"  +", each.strip())[-2:] for each in result.stdout.splitlines()[1:-1]]
    assert rows == [
        ["deploy-bot", "not seen yet"],
        ["pager", "skipped: event_not_in_hook"],
        *([f"x-{name}", "skipped: event_not_in_app"] for name in "abcd"),
        ["and 2 more", "skipped: event_not_in_app (2)"],
    ]


def test_publish_tells_of_events_that_are_dropped_as_duplicates_and_does_not_wait_for_them(
    cloudformation: CloudFormation,
) -> None:
    succeed("apply", EXAMPLE, "--yes")
    handled_events.mark([parse(json.dumps(event(1)))], time.time(), timedelta(hours=1))
    assert bellhop("publish", "-", "--dry-run", stdin=json.dumps(event(1))).stderr == ""  # they are sent there
    cloudformation.parameters["DropDuplicatesHours"] = "1"
    result = bellhop("publish", "-", "--wait", "1h", stdin=json.dumps(event(1)))
    assert result.exit_code == 0
    [warning] = result.stderr.splitlines()
    assert re.fullmatch(
        r"warning: event e-1 was fanned out 20.* UTC: a duplicate is dropped; to send it again: "
        r"bellhop resend --event e-1 --organization 4501",
        warning,
    )
    assert "skipped: duplicate\n" in result.stdout
    [other] = json.loads(succeed("publish", "-", "--dry-run", "--json", stdin=json.dumps(event(2))))
    assert len(other["deliveries"]) == 2


@REGISTERED
def test_a_dry_run_as_json_has_the_deliveries_of_each_event() -> None:
    succeed("apply", EXAMPLE, "--yes")
    [document] = json.loads(
        succeed("publish", "-", "--dry-run", "--json", stdin=json.dumps(event(type="resolved")))
    )
    assert [(each["app_id"], each["state"]) for each in document["deliveries"]] == [("deploy-bot", None)]
    assert document["skipped"] == {"event_not_in_hook": 1}


@REGISTERED
def test_a_dry_run_of_malformed_events_names_every_fault() -> None:
    said = refused("publish", "-", "--dry-run", stdin=json.dumps([event(1, event_id="a b"), event(2, type="x")]))
    assert 'event [0], line 1: event_id: is "a b"' in said
    assert "event [1], line 1: type" in said


@REGISTERED
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_malformed_events_gave_no_json(options: list[str]) -> None:
    result = bellhop("publish", "-", "--json", *options, stdin=json.dumps([event(1), event(2, type="x")]))
    assert result.exit_code == 1
    [malformed] = json.loads(result.stdout)["malformed"]
    assert (malformed["event"], malformed["field"]) == (1, "type")
    assert "error: event [1], line 1: type: " in result.stderr


@REGISTERED
def test_a_dry_run_says_that_some_organisations_were_not_looked_up() -> None:
    many = json.dumps([event(n, organization_id=f"o-{n}") for n in range(21)])
    assert "At least 0 of 21 events would reach an app." in bellhop("publish", "-", "--dry-run", stdin=many).stdout


def test_a_dry_run_has_nothing_to_wait_for() -> None:
    result = bellhop("publish", "-", "--dry-run", "--wait", "30s")
    assert result.exit_code == 2
    assert "nothing to --wait for" in result.stderr
