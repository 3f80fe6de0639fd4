"""docs/capacity.md says what the template, the code and the bench say."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from bellhop import attempts, handled_events
from bellhop.attempts import PARKED, RETRYING, DeliveryRecord, NextState
from bellhop.events import parse
from bellhop.handled_events import HandledEvent
from bellhop.index_keys import (
    BLOCK_RECORDS,
    FIRST_KEY_RECORDS,
    FREE_RECORDS,
    ORGANIZATION_RECORDS,
    ORGANIZATION_SECONDS,
    KeyChoice,
)
from bellhop.successes import Delivered, Success, SuccessLog
from tests.bench import prices
from tests.docs import capacity
from tests.docs.capacity import GROWTH, MARK, PAGE, TABLES
from tests.support.fakes import NOW, delivery, issue_event
from tests.support.identities import listed
from tests.support.item_size import item_bytes
from tests.unit.template.test_rights import ROLES, of_role

WRITES = 500
PROCESSES = 120  # the defaults of DeliverMaximumConcurrency and RetryMaximumConcurrency


def prose() -> str:
    return " ".join(PAGE.read_text().split())


def test_every_table_is_as_it_is_computed_now() -> None:
    page = PAGE.read_text()
    assert {found[2] for found in MARK.finditer(page)} == set(TABLES)
    assert capacity.written(page) == page, "run python -m tests.docs.capacity"


def test_a_table_that_is_out_of_date_is_noticed() -> None:
    page = PAGE.read_text()
    assert capacity.written(page.replace("| 10,000,000 |", "| 9 |", 1)) == page


def test_to_drop_duplicates_costs_what_the_page_says(aws: None) -> None:
    event = parse(json.dumps(issue_event(organization_id="o" * 64, event_id="e" * 64, installation_id="i" * 64)))
    handled_events.mark([event], NOW.timestamp(), timedelta(hours=336))
    [mark] = items(HandledEvent)
    written = prices.WRITE_UNIT * prices.write_units(item_bytes(mark))
    read = prices.READ_UNIT * prices.read_units(item_bytes(mark), consistent=False)
    assert f"a million events cost {(written + read) * 1e6:.2f} dollars more" in prose()


def items(model: Any) -> list[dict[str, Any]]:
    return list(boto3.client("dynamodb").scan(TableName=model.Meta.table_name)["Items"])


def values(model: Any, attribute: str) -> set[str]:
    return {value for item in items(model) if attribute in item for value in item[attribute].values()}


def index_key(index: str) -> str:
    declared = capacity.template()["Resources"]["Attempts"]["Properties"]["GlobalSecondaryIndexes"]
    [schema] = [found["KeySchema"] for found in declared if found["IndexName"] == index]
    return next(str(key["AttributeName"]) for key in schema if key["KeyType"] == "HASH")


def test_the_packs_of_each_process_have_a_key_of_their_own(aws: None) -> None:
    for process in ("p", "q"):
        SuccessLog(process, timedelta(days=3)).write([Success(delivery(), {"app": "pager"})], NOW)
    assert {"2026-11-23T12#p", "2026-11-23T12#q"} <= values(Delivered, "key")


@pytest.mark.parametrize(
    ("index", "counted"),
    [
        ("by_app", capacity.KEYS_OF_BY_APP),
        ("replayable", capacity.KEYS_OF_REPLAYABLE),
        ("due", capacity.KEYS_OF_DUE),
    ],
)
def test_the_records_of_a_busy_app_share_as_many_keys_as_the_page_counts(
    aws: None, index: str, counted: int
) -> None:
    state, choice = RETRYING if index == "due" else PARKED, KeyChoice(PROCESSES, lambda: 0.0)
    for number in range(WRITES):
        made = delivery(delivery_id=f"msg_{number:032x}")
        key, listed = (of("pager", made.delivery_id) for of in (choice.log_key, choice.list_key))
        attempts.open_record(made, NextState(state), NOW, key=key, list_key=listed)
    assert len(values(DeliveryRecord, index_key(index))) == counted


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours"


def test_what_the_sentences_of_the_page_compute_is_right() -> None:
    at_once = 5  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    grown = (capacity.default("DeliverMaximumConcurrency") - at_once) / GROWTH.value * 60
    assert f"from quiet to 100 processes takes {round(grown, -1):.0f} seconds" in prose()
    parking = capacity.default("ParkedPerApp")
    assert f"at 100 a second that takes {parking / 100 / 60:.0f} minutes" in prose()
    assert f"`ReplayPerSecond` takes {hours(parking / capacity.default('ReplayPerSecond'))}" in prose()
    assert f"{FIRST_KEY_RECORDS} records a second" in prose()
    names = ("DeliverMaximumConcurrency", "RetryMaximumConcurrency")
    assert sum(map(capacity.default, names)) == PROCESSES
    assert f"two a second for each of {PROCESSES} processes" in prose()
    assert FIRST_KEY_RECORDS // PROCESSES == 2
    both = 2 * FIRST_KEY_RECORDS
    assert f"up to {both} records a second, of each organisation about {ORGANIZATION_RECORDS}" in prose()
    assert f"of {FIRST_KEY_RECORDS} more a second" in prose()
    assert f"{2 * both} of the 1,000, if {both} a second" in prose()
    assert "one more a minute" in prose()
    assert ORGANIZATION_SECONDS == 60
    assert (
        "lists two deliveries of an organisation under the first key. For more it reserves ten at a time"
        in prose()
    )
    assert (FREE_RECORDS, BLOCK_RECORDS) == (2, 10)
    assert "each delivery is tried eleven times" in prose()
    assert len(capacity.delays()) + 1 == 11
    days = timedelta(seconds=sum(capacity.delays())).total_seconds() / 86_400
    assert round(days) == 3


def key_dollars() -> float:
    """The price of a key for a month, if every role asks it all the time for each queue and table that it uses."""
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html: in each
    # period a queue asks twice for a sender and once for a receiver. DynamoDB asks again after five minutes.
    asked = {"sqs:SendMessage": 2, "sqs:ReceiveMessage": 1}
    requests = 2  # by the publisher
    for role in ROLES:
        tables = set[str]()
        for statement in of_role(role):
            resources = set(re.findall(r'"Fn::GetAtt": \["(\w+)", "Arn"\]', json.dumps(statement["Resource"])))
            actions = listed(statement["Action"])
            requests += sum(asked.get(action, 0) * len(resources) for action in actions)
            tables |= resources if actions[0].startswith("dynamodb:") else set()
        requests += len(tables)
    return prices.KEY_MONTH + requests * 30 * 86_400 / 300 * prices.KEY_REQUEST


def test_the_price_of_a_key_is_as_the_page_says() -> None:
    assert f"it is about {key_dollars():.0f} dollars a month" in prose()


def test_the_rounding_never_promises_more_than_there_is() -> None:
    assert [capacity.rounded(number) for number in (36.8, 108.2, 5394, 9.9)] == ["36", "100", "5,300", "9"]


MOST_DOLLARS = 1.13  # for a million deliveries by the default profile, their bodies kept; the aim was 1.00


def test_with_the_bodies_that_are_kept_by_default_a_million_deliveries_cost_no_more_than_they_did() -> None:
    days = capacity.default("KeepDeliveredDays")
    assert days == 3
    assert capacity.without_bodies("default") + sum(capacity.bodies("default", days)) <= MOST_DOLLARS


def test_the_storage_that_is_priced_is_for_as_long_as_rows_live() -> None:
    assert attempts.KEPT.days == 30
    assert capacity.default("LogRetentionDays") == 30
    assert datetime.fromtimestamp(attempts.expiry(NOW), NOW.tzinfo) == NOW + attempts.KEPT
