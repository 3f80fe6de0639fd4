"""Old and new at once: each version reads what the other wrote, as far as is promised."""

import json
from collections.abc import Sequence
from typing import Any

import boto3
import jsonschema
import pytest

from bellhop import circuits
from bellhop.queues import OutgoingMessage
from bellhop.replays import Replay
from deliver.dependencies import DeliverDependencies
from health import messages
from health.app import handle
from tests.support.endpoint import Endpoint, record, response, run
from tests.support.fakes import NOW, app, queue_message
from tests.support.health import health_dependencies
from tests.unit.formats.samples import (
    FOLDER,
    ITEMS,
    LAST_RELEASE,
    UNRELEASED,
    VERSIONS,
    Sample,
    comparable,
    item,
    read,
    samples,
)
from tests.unit.formats.writers import written

OLDER = [version for version in VERSIONS if version != UNRELEASED]
READERS: dict[str, Any] = json.loads((FOLDER / LAST_RELEASE / "readers.json").read_text())
UNREADABLE: dict[str, str] = READERS["unreadable"]


def test_what_is_written_now_is_in_the_samples(request: pytest.FixtureRequest, aws: None) -> None:
    found = written()
    if request.config.getoption("--write-samples"):
        for name, each in found.items():
            Sample(UNRELEASED, name).write(each)
    assert {sample.name: comparable(sample.written) for sample in samples(UNRELEASED)} == {
        name: comparable(each) for name, each in found.items()
    }


@pytest.mark.parametrize("sample", [each for version in VERSIONS for each in samples(version)], ids=str)
def test_what_each_version_wrote_is_read_as_it_was_meant(sample: Sample) -> None:
    assert read(sample.kind, sample.written) == sample.read


@pytest.mark.parametrize("sample", samples(UNRELEASED), ids=str)
def test_a_field_that_a_newer_version_adds_changes_nothing(sample: Sample) -> None:
    added = {"S": "x"} if sample.kind in ITEMS else "x"
    assert read(sample.kind, sample.written | {"added_later": added}) == sample.read


@pytest.mark.parametrize("sample", samples(UNRELEASED), ids=str)
def test_the_release_before_reads_what_is_written_now_or_it_is_said_what_becomes_of_it(sample: Sample) -> None:
    schema = READERS["messages"].get(sample.kind) or READERS["items"].get(sample.kind)
    readable = schema is not None and jsonschema.Draft202012Validator(schema).is_valid(sample.written)
    assert readable == (sample.name not in UNREADABLE), UNREADABLE.get(sample.name, "not readable, and not listed")


def test_every_version_has_samples_of_every_kind_that_it_knew() -> None:
    for version in OLDER:
        known = json.loads((FOLDER / version / "readers.json").read_text())
        kinds = {sample.kind for sample in samples(version)}
        assert kinds == {*known["messages"], *known["items"]}


def test_the_list_of_what_the_release_before_cannot_read_names_samples() -> None:
    assert set(UNREADABLE) <= {sample.name for sample in samples(UNRELEASED)}


# ---- Not only read, but handled


def put(table: str, name: str, **changes: Any) -> None:
    """An item of the release before, in its table."""
    boto3.client("dynamodb").put_item(
        TableName=table, Item=item(Sample(LAST_RELEASE, name).written) | {n: {"S": v} for n, v in changes.items()}
    )


def message(name: str, **changes: Any) -> dict[str, Any]:
    """A message of the release before."""
    return queue_message(json.dumps(Sample(LAST_RELEASE, name).written | changes))


@pytest.mark.parametrize("name", ["retry", "retry.deferred", "retry.replay"])
def test_a_retry_of_the_release_before_makes_the_attempt_of_its_record(
    deps: DeliverDependencies, name: str
) -> None:
    put("attempts", "attempts.retrying")
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, message(name, delivery_id="msg_retrying")) == []
    assert (record("msg_retrying").state, len(endpoint.posted)) == ("delivered", 1)


def test_a_first_attempt_of_the_release_before_is_made(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, message("delivery"), message("delivery.ping")) == []
    assert len(endpoint.posted) == 2


def test_a_replay_of_the_release_before_sends_what_it_parked(aws: None) -> None:
    app(generation=3).save()
    put("attempts", "attempts.parked")
    sent: list[OutgoingMessage] = []
    later: list[Replay] = []

    def retry(retries: Sequence[OutgoingMessage]) -> set[int]:
        sent.extend(retries)
        return set()

    handled = messages.decode(json.dumps(Sample(LAST_RELEASE, "replay").written))
    handle(handled, health_dependencies(retry=retry, send_later=lambda message, _: later.append(message)))
    assert [json.loads(each.body)["delivery_id"] for each in sent] == ["msg_parked"]
    assert len(later) == 1


def test_a_pause_that_the_release_before_began_has_its_trials(aws: None) -> None:
    put("circuits", "circuit.paused")
    now = NOW.timestamp() + 60
    assert circuits.claim_trial("pager", 3, 0, "worker", now=now, seconds=30)
    assert circuits.close_circuit("pager", "worker", now)
