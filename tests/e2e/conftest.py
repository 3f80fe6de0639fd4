"""What the end-to-end tests need beside the tenant."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.deploy.environment import Environment, write
from infra.local.build import ARCHITECTURE, RUNTIME
from infra.local.embedded import embedded_aws
from tests.e2e.operator import NAME, Operator
from tests.support.tenant import DEADLINE_SECONDS, Tenant, eventually
from tests.support.workers import kill_worker

__all__ = ["DEADLINE_SECONDS", "Tenant", "eventually", "kill_worker"]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Reports a measured value of a test at the end of the run."""
    return lambda name, value: request.node.user_properties.append((name, value))


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with embedded_aws(tmp_path) as aws:
        file = tmp_path / "prod.toml"
        mail = {"MailFrom": "bellhop@tracker.example", "MailIdentity": "tracker.example"}
        here = {"Runtime": RUNTIME, "Architecture": ARCHITECTURE, "AwsEndpointUrl": aws.endpoint}
        write(Environment(file, NAME, parameters=mail | here))
        yield Operator(aws, file)
