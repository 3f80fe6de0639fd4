import os
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from hypothesis import HealthCheck, settings
from moto import mock_aws

from bellhop import aws as aws_session
from bellhop import tables
from bellhop.attempts import DeliveryRecord
from bellhop.circuits import Circuit
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.secrets import SigningSecret
from bellhop.successes import SuccessPack

# The machine's speed is no property of the code.
settings.register_profile("bellhop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bellhop")

pytest_plugins = ["tests.support.tenant"]  # its fixtures are for every room, its one stack for the whole session

MODELS = [
    Organization,
    App,
    Installation,
    AuditEntry,
    SigningSecret,
    OutcomeDay,
    DeliveryRecord,
    SuccessPack,
    Circuit,
]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in memory, with every table of the template."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    aws_session.core.cache_clear()  # it would keep the credentials and the mock of another test
    _one_call_at_a_time(monkeypatch)
    with mock_aws():
        tables.bind(tables.connect(retries=0), {model: model.Meta.table_name for model in MODELS})
        for model in MODELS:
            model.create_table(billing_mode="PAY_PER_REQUEST")
        yield


def _one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # AWS's calls are atomic. Those of its stand-in are not: threads would meet in the middle of its own data.
    turn, call = threading.RLock(), BaseClient._make_api_call

    def alone(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return call(*args, **kwargs)

    monkeypatch.setattr(BaseClient, "_make_api_call", alone)


@pytest.fixture
def queue(aws: None) -> str:
    return str(boto3.client("sqs").create_queue(QueueName="work")["QueueUrl"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Here and not beside the tests that note something: with workers, their conftest.py is loaded in those alone.
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")
