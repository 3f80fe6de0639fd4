"""What the end-to-end tests need beside the tenant."""

from collections.abc import Callable

import pytest

from tests.support.tenant import DEADLINE_SECONDS, Tenant, eventually
from tests.support.workers import kill_worker

__all__ = ["DEADLINE_SECONDS", "Tenant", "eventually", "kill_worker"]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Reports a measured value of a test at the end of the run."""
    return lambda name, value: request.node.user_properties.append((name, value))
