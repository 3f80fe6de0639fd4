import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from hypothesis import HealthCheck, settings
from moto import mock_aws
from moto.backends import get_backend
from xdist.remote import Producer

from bellhop import aws as aws_session
from bellhop import tables
from bellhop.attempts import DeliveryRecord
from bellhop.circuits import Circuit, Share, SlowList
from bellhop.handled_events import HandledEvent
from bellhop.index_keys import Entry
from bellhop.large_bodies import LargeBody
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.resend_jobs import ResendJob, ResendPage
from bellhop.secrets import SigningSecret
from bellhop.successes import Delivered
from infra.cli.minute_packs import MinutePack
from tests.support import dynalite as second_dynamodb
from tests.support import scheduling
from tests.support.dynalite import Dynalite
from tests.support.memory_dynamodb import MemoryDynamoDB

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# A slow machine must not fail a property.
settings.register_profile("bellhop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("minutes", settings.get_profile("bellhop"), max_examples=500)
settings.register_profile("hours", settings.get_profile("bellhop"), max_examples=50_000)
settings.load_profile("bellhop")

pytest_plugins = ["tests.support.tenant"]  # here, so that the whole session shares one stack

ACCOUNT, REGION = "123456789012", "eu-west-1"  # of moto, and of the tests

MODELS = [
    Organization,
    App,
    Installation,
    AuditEntry,
    SigningSecret,
    OutcomeDay,
    DeliveryRecord,
    Delivered,
    MinutePack,
    Circuit,
]
SHARING = [Share, SlowList, Entry, LargeBody, ResendJob, ResendPage, HandledEvent]  # the tables of others
NAMES = {model: model.Meta.table_name for model in (*MODELS, *SHARING)}  # a test may bind a model to another table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schedules", type=int, default=55, help="random schedules of faults that are simulated")
    parser.addoption("--unshrunk", action="store_true", help="a simulated story that fails is not made shorter")
    parser.addoption("--write-samples", action="store_true", help="write the unreleased samples of formats anew")
    parser.addoption(
        "--tables",
        choices=("memory", "moto", "dynalite"),
        default="memory",
        help="what keeps the tables; with moto and dynalite only tests that use some, or JavaScript",
    )


def pytest_configure() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and not scheduling.begins_with_stacks(worker):
        os.nice(scheduling.LESS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> scheduling.StacksBesideTheRest | None:
    by_file = config.getoption("dist") == "loadfile"
    return scheduling.StacksBesideTheRest(config, log) if by_file else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--tables") != "memory":
        asked = {"aws_in_memory", "javascript"}
        others = [item for item in items if asked.isdisjoint(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def dynalite(pytestconfig: pytest.Config) -> Iterator[Dynalite | None]:
    """What keeps the tables with `--tables dynalite`; otherwise None."""
    if pytestconfig.getoption("--tables") == "dynalite":
        with second_dynamodb.running() as witness:
            yield witness
    else:
        yield None


@pytest.fixture(scope="session")
def memory(pytestconfig: pytest.Config) -> MemoryDynamoDB | None:
    """What keeps the tables, unless `--tables` names something else."""
    if pytestconfig.getoption("--tables") != "memory":
        return None
    tables_in_memory = MemoryDynamoDB()
    bind_models()
    for model in MODELS:
        tables_in_memory.add(model)
    return tables_in_memory


@pytest.fixture(scope="module")
def aws_in_memory(memory: MemoryDynamoDB | None, dynalite: Dynalite | None) -> Iterator[Any]:
    """AWS in memory for one file of tests, with every table, and the models' client of it.

    To make tables and clients for each test takes most of its time.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        aws_session.core.cache_clear()  # its credentials and its mock may be those of another file
        if memory:
            memory.take_calls(patch)
        serialize_calls(patch)
        if dynalite:
            dynalite.witness_calls(patch)
        with mock_aws():
            client = tables.connect(retries=0).client
            bind_models(client)
            for model in MODELS:
                if not memory and not model.exists():  # with moto, or by the first file of tests with dynalite
                    model.create_table(billing_mode="PAY_PER_REQUEST")
            if dynalite:
                dynalite.await_tables()
            yield client
        aws_session.core.cache_clear()


@pytest.fixture
def aws(aws_in_memory: Any, memory: MemoryDynamoDB | None, dynalite: Dynalite | None) -> None:
    """AWS as each test finds it: the tables are empty, and nothing else is there."""
    if memory:
        memory.clear()
    if dynalite:
        dynalite.clear()
    for table in get_backend("dynamodb")[ACCOUNT][REGION].tables.values():
        table.items.clear()
    for service in ("sqs", "scheduler"):
        get_backend(service)[ACCOUNT][REGION].reset()
    bind_models(aws_in_memory)


@pytest.fixture
def dynamodb_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that the models ask DynamoDB for from now on."""
    made, dispatch = list[str](), tables._Connection.dispatch

    def noting(self: Any, operation: str, request: Any) -> Any:
        made.append(operation)
        return dispatch(self, operation, request)

    monkeypatch.setattr(tables._Connection, "dispatch", noting)
    return made


def bind_models(client: Any = None) -> None:
    """Bind the models by a new connection, which makes a client of its own if none is given."""
    connection = tables.connect(retries=0)
    connection._client = client
    tables.bind(connection, NAMES)


def serialize_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Calls to AWS are atomic. Calls to these are not: threads would see their data half changed.
    lock, call = threading.RLock(), vars(BaseClient)["_make_api_call"]

    def locked_call(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return call(*args, **kwargs)

    monkeypatch.setattr(BaseClient, "_make_api_call", locked_call)


@pytest.fixture(scope="module")
def sqs(aws_in_memory: Any) -> "SQSClient":
    return boto3.client("sqs")


@pytest.fixture
def queue(aws: None, sqs: "SQSClient") -> str:
    return sqs.create_queue(QueueName="work")["QueueUrl"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Here and not beside the tests that use `note`: with xdist, only the workers load their conftest.py.
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")
