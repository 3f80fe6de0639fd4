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

# A slow machine must not fail a property.
settings.register_profile("bellhop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bellhop")

pytest_plugins = ["tests.support.tenant"]  # here, so that the whole session shares one stack

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
    aws_session.core.cache_clear()  # its credentials and its mock may be those of another test
    _serialize_calls(monkeypatch)
    with mock_aws():
        tables.bind(tables.connect(retries=0), {model: model.Meta.table_name for model in MODELS})
        for model in MODELS:
            model.create_table(billing_mode="PAY_PER_REQUEST")
        yield


def _serialize_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Calls to AWS are atomic. Calls to moto are not: threads would see its data half changed.
    lock, call = threading.RLock(), vars(BaseClient)["_make_api_call"]

    def locked_call(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return call(*args, **kwargs)

    monkeypatch.setattr(BaseClient, "_make_api_call", locked_call)


@pytest.fixture
def queue(aws: None) -> str:
    return str(boto3.client("sqs").create_queue(QueueName="work")["QueueUrl"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Here and not beside the tests that use `note`: with xdist, only the workers load their conftest.py.
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")
