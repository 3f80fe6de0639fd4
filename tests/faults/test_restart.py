"""The embedded AWS itself ends and comes back, with every worker, in the middle of the traffic."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from bellhop.registry import DISABLED, App
from infra.local.receiver import Receiver, ok
from infra.local.stack import deployed_stack
from infra.local.webhook_server import PlannedResponse
from tests.faults.endpoints import RETRIES, end_of, failing_now_and_then, gone_at, successes_counted
from tests.faults.queues import settled
from tests.support.tenant import PARAMETERS, Tenant, eventually, tenant_of

RESTARTS = 3
EVENTS = 60  # published before each of them, and after the last
SETTLE_SECONDS = 120.0


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    with deployed_stack(PARAMETERS | RETRIES, keeps_state=True) as stack, tenant_of(stack) as made:
        yield made


def test_every_delivery_is_accounted_for_while_aws_itself_is_restarted(
    tenant: Tenant, note: Callable[[str, object], None]
) -> None:
    healthy = [tenant.app(ok) for _ in range(3)]
    failing = tenant.app(failing_now_and_then(PlannedResponse(500)))
    retired, _ = gone = tenant.app(gone_at(RESTARTS * EVENTS))
    everybody = [*healthy, failing, gone]
    published: list[str] = []
    for _ in range(RESTARTS):
        publish(tenant, published)
        some = len(published) - EVENTS // 2
        eventually(partial(reached, healthy[0][1], some), "the half of them arrives")
        tenant.stack.aws.restart()
    publish(tenant, published)
    redriven: Counter[str] = Counter()
    eventually(lambda: settled(tenant.stack, redriven), "every queue is empty", SETTLE_SECONDS)

    ends = {
        hook.app_id: Counter(end_of(hook, each, tenant, name) for name in published) for hook, each in everybody
    }
    note("deliveries", len(published) * len(everybody))
    note("duplicates", sum(n - 1 for _, endpoint in healthy for n in endpoint.copies.values()))
    for hook, _ in [*healthy, failing]:
        assert ends[hook.app_id] == {"delivered": len(published)}, (hook.app_id, ends[hook.app_id])
    assert App.get(retired.app_id).state == DISABLED
    assert set(ends[retired.app_id]) <= {"delivered", "parked", "stopped"}
    for hook, endpoint in everybody:
        assert successes_counted(hook, tenant) <= sum(r.status == 200 for r in endpoint.received)


def reached(endpoint: Receiver, number: int) -> bool:
    return len(endpoint.copies) >= number


def publish(tenant: Tenant, published: list[str]) -> None:
    names = [f"event-{len(published) + number}" for number in range(EVENTS)]
    tenant.publish(*(tenant.event(name) for name in names))
    published += names
