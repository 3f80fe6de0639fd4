"""No call to AWS outlasts its invocation: the tries are counted at a server that never responds."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.session import Session

from bellhop import aws
from bellhop.budget import END_SECONDS, SILENCES, Budget, OutOfBudgetError


@dataclass
class Network:
    """Every operation's tries, in order; those of `silent` never get a response."""

    silent: set[str]
    tries: list[str] = field(default_factory=list)

    def send(self, request: Any) -> Any:
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        self.tries.append(operation)
        if operation in self.silent:
            raise ReadTimeoutError(endpoint_url=request.url)
        return SimpleNamespace(status_code=200, headers={}, content=b"{}", raw=None)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network({"PutItem"})
    monkeypatch.setattr(URLLib3Session, "send", lambda _, request: network.send(request))
    monkeypatch.setattr("time.sleep", lambda _: None)  # the SDK's own, before a second try
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return network


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def budget(session: Session) -> Budget:
    return Budget.watching(session)


@pytest.fixture
def dynamodb(network: Network, session: Session, budget: Budget) -> Any:
    config = Config(
        connect_timeout=aws.CONNECT_SECONDS,
        read_timeout=aws.READ_SECONDS,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    return session.create_client("dynamodb", config=config)


def put(dynamodb: Any, table: str = "attempts") -> None:
    dynamodb.put_item(TableName=table, Item={"id": {"S": "1"}})


def test_forty_writes_to_a_table_that_never_responds_cost_two_tries_and_other_tables_none(
    dynamodb: Any, network: Network, budget: Budget
) -> None:
    with budget.invocation(lambda: 30_000):
        with pytest.raises(ReadTimeoutError):
            put(dynamodb)
        for _ in range(39):
            with pytest.raises(OutOfBudgetError, match=r"dynamodb\.PutItem attempts has stopped responding"):
                put(dynamodb)
        assert network.tries == ["PutItem"] * SILENCES
        dynamodb.delete_item(TableName="attempts", Key={"id": {"S": "1"}})
        with pytest.raises(ReadTimeoutError):
            put(dynamodb, "circuits")


def test_one_silent_key_kept_what_was_posted_from_being_written(
    dynamodb: Any, network: Network, budget: Budget
) -> None:
    with budget.invocation(lambda: 30_000):
        with budget.keeping(10.0), pytest.raises(ReadTimeoutError):
            put(dynamodb)
        network.silent.clear()
        with budget.keeping(3.0):
            put(dynamodb)
    assert len(network.tries) == SILENCES + 1


def test_the_next_invocation_calls_again_what_was_silent_in_the_last(
    dynamodb: Any, network: Network, budget: Budget
) -> None:
    with budget.invocation(lambda: 30_000), pytest.raises(ReadTimeoutError):
        put(dynamodb)
    network.silent.clear()
    with budget.invocation(lambda: 30_000):
        put(dynamodb)


def test_a_second_try_that_no_longer_fits_is_not_made(dynamodb: Any, network: Network, budget: Budget) -> None:
    left = iter([int(1000 * (aws.TRY_SECONDS + END_SECONDS)), 1_000])
    with budget.invocation(lambda: next(left)), pytest.raises(OutOfBudgetError, match="does not fit"):
        put(dynamodb)
    assert network.tries == ["PutItem"]


def test_what_is_kept_for_later_steps_is_not_spent(dynamodb: Any, network: Network, budget: Budget) -> None:
    with budget.invocation(lambda: 9_000):
        with budget.keeping(6.0), pytest.raises(OutOfBudgetError):
            put(dynamodb)
        assert network.tries == []
        with pytest.raises(ReadTimeoutError):
            put(dynamodb)


def test_outside_of_an_invocation_every_call_is_made(dynamodb: Any, network: Network) -> None:
    network.silent.clear()
    put(dynamodb)
    assert network.tries == ["PutItem"]


def test_what_fits_is_told_before_it_is_begun() -> None:
    budget = Budget()
    assert budget.fits(1_000_000.0)
    with budget.invocation(lambda: 9_000):
        assert budget.fits(8.0)
        with budget.keeping(3.0):
            assert budget.fits(5.0)
            assert not budget.fits(5.1)
