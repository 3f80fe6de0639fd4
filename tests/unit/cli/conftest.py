from collections.abc import Iterator
from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

from bellhop import aws as aws_session
from bellhop import tables
from infra.cli import stack
from infra.cli.commands import ping
from tests.conftest import serialize_calls
from tests.unit.cli.cli_runner import CloudFormation
from tests.unit.cli.failing_app import Endpoint

ACCOUNT, REGION = "123456789012", "eu-west-1"  # of moto, and of the tests


@pytest.fixture(scope="module")
def shared_aws() -> Iterator[None]:
    """AWS in memory for one file of tests, with all tables: making them for each test takes most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        serialize_calls(patch)
        aws_session.core.cache_clear()  # it would keep the credentials and the mock of another module
        with mock_aws():
            tables.bind(tables.connect(retries=0), {model: model.Meta.table_name for model in stack.TABLES})
            for model in stack.TABLES:
                model.create_table(billing_mode="PAY_PER_REQUEST")
            yield
        aws_session.core.cache_clear()


@pytest.fixture
def aws(shared_aws: None) -> None:
    """AWS as it is for each test: empty tables, no queues, no schedules."""
    for table in get_backend("dynamodb")[ACCOUNT][REGION].tables.values():
        table.items.clear()
    for service in ("sqs", "scheduler"):
        get_backend(service)[ACCOUNT][REGION].reset()
    tables.bind(tables.connect(retries=0), {model: model.Meta.table_name for model in stack.TABLES})


@pytest.fixture
def cloudformation(queue: str, monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    names = {stack.DELIVERIES_QUEUE: "deliveries", stack.TRANSITIONS_QUEUE: "transitions"}
    queues = {
        output: boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"] for output, name in names.items()
    }
    known, real = CloudFormation(queue, queues), boto3.client
    monkeypatch.setattr(
        boto3,
        "client",
        lambda name, **options: known if name == "cloudformation" else real(name, **options),
    )
    return known


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    made = Endpoint()
    monkeypatch.setattr(ping, "time", SimpleNamespace(sleep=made.sleep, monotonic=made.clock))
    return made
