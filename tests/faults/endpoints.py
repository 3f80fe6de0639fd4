"""Endpoints that are well, fail for a while, or go; and what became of a delivery to one."""

from collections import Counter

from bellhop import attempts
from bellhop.deliveries import delivery_id
from bellhop.outcomes import OutcomeDay
from infra.local.receiver import Behaviour, Receiver
from infra.local.registering import Hook
from infra.local.webhook_server import PlannedResponse
from tests.support.tenant import Tenant

# Short at first, and so long in all that nothing is exhausted by waiting for a pause.
RETRIES: dict[str, str | int] = {"RetryDelaysSeconds": "1,2,3,5,8,13,21,900"}


def gone_at(number: int) -> Behaviour:
    """An endpoint that is well until its webhook number `number`, and then gone for good."""
    seen = Counter[str]()

    def behave(_: int) -> PlannedResponse:
        seen["all"] += 1
        return PlannedResponse(410 if seen["all"] > number else 200)

    return behave


def failing_now_and_then(first: PlannedResponse) -> Behaviour:
    """An endpoint that gives `first` to the first attempt of each fifth webhook: too few to be paused for."""
    fresh = Counter[str]()

    def behave(seen: int) -> PlannedResponse:
        fresh["webhooks"] += seen == 1
        return first if seen == 1 and fresh["webhooks"] % 5 == 0 else PlannedResponse(200)

    return behave


def failing_at_first(number: int) -> Behaviour:
    """An endpoint that fails its first requests, whatever they are: it is paused, and then recovers."""
    seen = Counter[str]()

    def behave(_: int) -> PlannedResponse:
        seen["all"] += 1
        return PlannedResponse(500 if seen["all"] <= number else 200)

    return behave


def end_of(hook: Hook, endpoint: Receiver, tenant: Tenant, event_id: str) -> str:
    """What became of an event's delivery to an app."""
    identifier = delivery_id(tenant.organization, event_id, f"installation-{hook.app_id}")
    if any(r.webhook_id == identifier and r.verified and r.status == 200 for r in endpoint.received):
        return "delivered"
    record = attempts.load(identifier)
    return record.state if record else "lost"


def successes_counted(hook: Hook, tenant: Tenant) -> int:
    """How many successes health counts for an app."""
    return sum(int(row.success) for row in OutcomeDay.query(f"{hook.app_id}#{tenant.organization}"))
