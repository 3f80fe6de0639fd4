"""The health function's batches: what is handled, and what comes back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from bellhop.budget import Budget
from bellhop.queues import OutgoingMessage
from health import app, follow_up, messages
from health.messages import FollowUp
from health.review import Scope
from tests.support.fakes import Recorder, queue_message


class Telemetry(Recorder):
    def begin(self, context: Any) -> None:
        """Nothing to correlate."""

    def flush(self) -> None:
        """Nothing to write."""


@dataclass
class Handled:
    """The apps that were handled; those in `broken` fail."""

    broken: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    telemetry: Telemetry = field(default_factory=Telemetry)
    waiting: list[str] = field(default_factory=list)

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        self.waiting += [message.body for message in messages]
        return set()

    def __call__(self, subject: Scope | FollowUp, *_: Any) -> None:
        self.seen.append(subject.app_id)
        if subject.app_id in self.broken:
            raise OSError("a table does not respond")


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> Handled:
    made = Handled()
    telemetry = made.telemetry
    deps = SimpleNamespace(telemetry=telemetry, thresholds=None, wait=made.wait)
    monkeypatch.setattr(app, "_open", lambda: (deps, telemetry, Budget()))
    monkeypatch.setattr(app, "review", made)
    monkeypatch.setattr(follow_up, "follow_up", made)
    return made


def stream(*app_ids: str) -> list[dict[str, Any]]:
    """Changes of the apps' counters, numbered from 1."""
    images = [{"app_id": {"S": a}, "organization_id": {"S": "acme"}, "generation": {"N": "1"}} for a in app_ids]
    changes = [{"NewImage": image, "SequenceNumber": str(n)} for n, image in enumerate(images, 1)]
    return [{"eventSource": "aws:dynamodb", "dynamodb": change} for change in changes]


def queue(*bodies: str) -> list[dict[str, Any]]:
    return [queue_message(body, f"m{n}") for n, body in enumerate(bodies, 1)]


def failed(records: list[dict[str, Any]]) -> list[str]:
    """The ids that come back from a batch."""
    [(name, failures)] = app.handler(
        {"Records": records}, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    ).items()
    assert name == "batchItemFailures"
    return [failure["itemIdentifier"] for failure in failures]


def test_the_stream_goes_on_from_the_first_change_that_failed(handled: Handled) -> None:
    handled.broken = {"b", "d"}
    assert failed(stream("a", "b", "c", "d")) == ["2"]
    assert handled.seen == ["a", "b", "c", "d"]


def test_a_message_that_fails_comes_back_alone(handled: Handled) -> None:
    handled.broken = {"b"}
    bodies = [messages.encode(FollowUp(app_id, "00000001#disabled")) for app_id in "abc"]
    assert failed(queue(*bodies)) == ["m2"]
    assert handled.seen == ["a", "b", "c"]


def test_a_message_that_cannot_be_read_comes_back_alone(handled: Handled) -> None:
    assert failed(queue("no message of ours", messages.encode(FollowUp("a", "00000001#disabled")))) == ["m1"]
    assert handled.seen == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        '{"kind": "from_tomorrow", "app_id": "a"}',
        '{"source": "aws.ses", "detail": {"eventType": "DeliveryDelay", "mail": {}}}',
    ],
)
def test_a_message_of_a_newer_version_waits_and_the_log_says_so(handled: Handled, body: str) -> None:
    assert failed(queue(body, messages.encode(FollowUp("a", "00000001#disabled")))) == []
    assert (handled.seen, handled.waiting) == (["a"], [body])
    [(level, _, fields)] = handled.telemetry.lines
    assert (level, list(fields["messages"])) == ("warning", ["m1"])


def test_a_field_that_this_version_does_not_know_is_ignored() -> None:
    body = json.loads(messages.encode(FollowUp("a", "00000001#disabled"))) | {"from_tomorrow": 1}
    assert messages.decode(json.dumps(body)) == FollowUp("a", "00000001#disabled")


def test_ten_changes_of_one_app_are_reviewed_once(handled: Handled) -> None:
    assert failed(stream(*["a"] * 10)) == []
    assert handled.seen == ["a"]


def test_of_an_apps_changes_that_cannot_be_reviewed_the_first_comes_back(handled: Handled) -> None:
    handled.broken = {"a"}
    assert failed(stream("b", "a", "b", "a")) == ["2"]
    assert handled.seen == ["b", "a"]
