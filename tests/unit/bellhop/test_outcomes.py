"""The counters: added to in one call, which is repeated only where it surely did not count."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from pynamodb.exceptions import UpdateError

from bellhop import outcomes
from bellhop.outcomes import ADDS, Failure, OutcomeDay, OutcomeDelta

DAY = date(2026, 11, 23)
FAILURE = Failure("2026-11-23T12:00:00+00:00", "msg_1", "ev1", "issue.created", "http_500", "boom")
ONE_ERROR = OutcomeDelta("pager", "acme", 1, DAY, error=1, last_failure=FAILURE)
ONE_SUCCESS = OutcomeDelta("pager", "acme", 1, DAY, success=1)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")


@dataclass
class Table:
    """The table fails as often as it is told: before it did what it was asked, or after."""

    call: Callable[..., Any]
    error: Exception = field(default_factory=Exception)
    times: int = 0
    after: bool = False

    def __call__(self, client: Any, operation: str, arguments: Any) -> Any:
        if operation != "UpdateItem" or self.times == 0:
            return self.call(client, operation, arguments)
        self.times -= 1
        if self.after:
            self.call(client, operation, arguments)
        raise self.error


@pytest.fixture
def table(aws: None, monkeypatch: pytest.MonkeyPatch) -> Table:
    table = Table(getattr(BaseClient, "_make_api_call"))  # noqa: B009 - private, so the stubs lack it

    def call(client: Any, operation: str, arguments: Any) -> Any:
        return table(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return table


def errors() -> list[int]:
    return [int(row.error) for row in OutcomeDay.scan()]


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"]
)
def test_an_add_that_was_throttled_is_repeated_after_a_pause(table: Table, code: str) -> None:
    table.error, table.times = refusal(code), 2
    pauses: list[int] = []
    assert int(outcomes.add(ONE_ERROR, pauses.append).error) == 1
    assert (errors(), pauses) == ([1], [1, 2])


def test_an_add_that_is_throttled_every_time_is_given_up(table: Table) -> None:
    table.error, table.times = refusal("ThrottlingException"), ADDS
    pauses: list[int] = []
    with pytest.raises(UpdateError):
        outcomes.add(ONE_ERROR, pauses.append)
    assert (errors(), pauses) == ([], [1, 2, 3, 4])


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ReadTimeoutError(endpoint_url="https://table"), id="read timeout"),
        pytest.param(ConnectTimeoutError(endpoint_url="https://table"), id="connect timeout"),
        pytest.param(refusal("InternalServerError"), id="500"),
    ],
)
def test_an_add_that_may_have_counted_is_not_repeated(table: Table, error: Exception) -> None:
    table.error, table.times, table.after = error, 1, True
    pauses: list[int] = []
    with pytest.raises(UpdateError):
        outcomes.add(ONE_ERROR, pauses.append)
    assert (errors(), pauses) == ([1], [])


def test_an_add_returns_what_all_functions_have_counted_by_then(table: Table) -> None:
    outcomes.add(ONE_SUCCESS, lambda _: None)
    row = outcomes.add(ONE_ERROR, lambda _: None)
    assert (int(row.success), int(row.error), int(row.timeout)) == (1, 1, 0)


def test_a_success_after_a_failure_wakes_nobody_and_leaves_the_failure_as_evidence(table: Table) -> None:
    outcomes.add(ONE_ERROR, lambda _: None)
    outcomes.add(ONE_SUCCESS, lambda _: None)
    [row] = OutcomeDay.scan()
    assert row.has_failure is False
    assert '"delivery_id":"msg_1"' in str(row.last_failure)


def test_a_days_counters_are_kept_for_forty_days(table: Table) -> None:
    outcomes.add(ONE_ERROR, lambda _: None)
    [row] = OutcomeDay.scan()
    assert datetime.fromtimestamp(int(row.expires_at), UTC) == datetime(2027, 1, 2, tzinfo=UTC)


def test_deltas_of_one_row_are_added_up_and_others_stay_apart() -> None:
    others = [
        OutcomeDelta("chat", "acme", 1, DAY, error=1),
        OutcomeDelta("pager", "umbrella", 1, DAY, error=1),
        OutcomeDelta("pager", "acme", 2, DAY, error=1),
        OutcomeDelta("pager", "acme", 1, date(2026, 11, 24), error=1),
    ]
    merged = outcomes.merge([ONE_ERROR, *others, ONE_SUCCESS])
    assert merged == [OutcomeDelta("pager", "acme", 1, DAY, success=1, error=1, last_failure=FAILURE), *others]
