"""Every delivery is accounted for while AWS calls of the deployed functions fail and their workers are killed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import pytest

from bellhop.registry import DISABLED, App, Installation
from infra.local.receiver import failing_first, ok
from infra.local.stack import Stack, deployed_stack
from infra.local.webhook_server import PlannedResponse
from tests.faults.endpoints import (
    RETRIES,
    end_of,
    failing_at_first,
    failing_now_and_then,
    gone_at,
    successes_counted,
)
from tests.faults.queues import dead_letters, settled
from tests.support.fault_proxy import Fault, FaultProxy, Kind, fault_proxy
from tests.support.tenant import PARAMETERS, Tenant, eventually, tenant_of
from tests.support.workers import worker_pids

SEED = int(os.environ.get("FAULT_SEED", "1"))
EVENTS = int(os.environ.get("FAULT_EVENTS", "120"))
SLICE = 10  # events published between two changes of what fails
SETTLE_SECONDS = 600.0
FAILED_CALLS, FAULTS_SECONDS = 5, 15.0  # for which each choice of what fails lasts, or for so long if few do
LEAVING_SECONDS = 10.0  # the cache's lifetime, a batch that has begun, and a slow machine

FREQUENT = (
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "sqs:SendMessageBatch",
)
SELDOM = (
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:TransactWriteItems",
    "sqs:SendMessage ",
    "scheduler:CreateSchedule",
    "events:PutEvents",
)
KILLED = ("NotifyFunction", "DeliverFunction", "HealthFunction")


@dataclass
class Faults:
    """Changes what fails, by seed, and counts the workers killed."""

    proxy: FaultProxy
    stack: Stack
    random: Random = field(default_factory=lambda: Random(SEED))
    killed: Counter[str] = field(default_factory=Counter)

    def change(self) -> None:
        """Let some operations fail in one way each, a share of the time; kill some workers."""
        chosen = [*self.random.sample(FREQUENT, 2), *self.random.sample(SELDOM, 2)]
        self.proxy.faults = [
            Fault(self.random.choice(list(Kind)), name, self.random.choice((0.1, 0.3, 1.0)), seconds=3.0)
            for name in chosen
        ]
        for function in self.random.sample(KILLED, 1 + self.random.randrange(len(KILLED))):
            for pid in worker_pids(self.stack, function, self.proxy.url)[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed[function] += 1

    def last(self) -> None:
        """Have what fails go on until some calls have failed; not for ever, as an operation may not be called."""
        wanted, end = self.failed + FAILED_CALLS, time.monotonic() + FAULTS_SECONDS
        while self.failed < wanted and time.monotonic() < end:
            time.sleep(0.05)

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return sum(self.proxy.injected.values())

    def end(self) -> None:
        """Let nothing fail any more."""
        self.proxy.faults = []


@pytest.fixture(scope="module")
def faulty() -> Iterator[tuple[Stack, FaultProxy]]:
    proxies: list[FaultProxy] = []

    @contextmanager
    def in_front(upstream: str) -> Iterator[str]:
        with fault_proxy(upstream, SEED) as proxy:
            proxies.append(proxy)
            yield proxy.url

    with deployed_stack(PARAMETERS | RETRIES, in_front=in_front) as stack:
        yield stack, proxies[0]


@pytest.fixture
def tenant(faulty: tuple[Stack, FaultProxy]) -> Iterator[Tenant]:
    with tenant_of(faulty[0]) as made:
        yield made


def test_every_delivery_is_accounted_for_while_calls_fail_and_workers_die(
    faulty: tuple[Stack, FaultProxy], tenant: Tenant, note: Callable[[str, object], None]
) -> None:
    stack, proxy = faulty
    healthy = [tenant.app(ok) for _ in range(4)]
    busy = PlannedResponse(503, headers=(("Retry-After", "1"),))
    failing = [tenant.app(failing_now_and_then(first)) for first in (PlannedResponse(500), busy)]
    paused = tenant.app(failing_at_first(15))
    retired, retired_endpoint = tenant.app(gone_at(EVENTS // 3))
    leaver, leaver_endpoint = tenant.app(failing_first(1))
    everybody = [*healthy, *failing, paused, (retired, retired_endpoint), (leaver, leaver_endpoint)]
    faults = Faults(proxy, stack)
    identifiers = [f"event-{number}" for number in range(EVENTS)]
    left_at = 0.0
    for start in range(0, EVENTS, SLICE):
        faults.change()
        tenant.publish(*(tenant.event(identifier) for identifier in identifiers[start : start + SLICE]))
        if start >= EVENTS // 2 and not left_at:
            installation = Installation(tenant.organization, f"installation-{leaver.app_id}")
            installation.update(actions=[Installation.status.set("uninstalled")])
            left_at = time.time()
        faults.last()
    faults.end()
    redriven: Counter[str] = Counter()
    eventually(lambda: settled(stack, redriven), "every queue is empty", SETTLE_SECONDS)

    ends = {
        hook.app_id: Counter(end_of(hook, endpoint, tenant, e) for e in identifiers)
        for hook, endpoint in everybody
    }
    note("injected", faults.failed)
    note("killed", dict(faults.killed))
    note("redriven", redriven["messages"])
    note("deliveries", EVENTS * len(everybody))
    note("duplicates", sum(n - 1 for _, endpoint in healthy for n in endpoint.copies.values()))
    assert sum(faults.killed.values()) >= EVENTS // SLICE // 4
    assert faults.failed >= EVENTS // SLICE  # or the test would show little
    for hook, _ in [*healthy, *failing]:
        assert ends[hook.app_id] == {"delivered": EVENTS}, (hook.app_id, ends[hook.app_id])
    assert ends[paused[0].app_id] == {"delivered": EVENTS}
    assert set(ends[retired.app_id]) <= {"delivered", "parked", "stopped"}
    assert App.get(retired.app_id).state == DISABLED
    assert set(ends[leaver.app_id]) <= {"delivered", "withdrawn", "lost"}  # skipped by notify, they have no record
    assert [r for r in leaver_endpoint.received if r.at > left_at + LEAVING_SECONDS] == []
    for hook, endpoint in everybody:
        assert successes_counted(hook, tenant) <= sum(r.status == 200 for r in endpoint.received)
    mails = Counter(to for mail in stack.mails() for to in mail["To"] if retired.app_id in str(mail))
    assert all(number == 1 for number in mails.values()), mails


def test_an_outage_that_lasts_longer_than_ten_receives_is_completed_by_redriving_to_the_last_delivery(
    faulty: tuple[Stack, FaultProxy], tenant: Tenant, note: Callable[[str, object], None]
) -> None:
    stack, proxy = faulty
    down = ["until the table responds again"]
    hook, endpoint = tenant.app(lambda _: PlannedResponse(500 if down else 200))
    queue = stack.resource("Deliveries")
    receives = {"VisibilityTimeout": str(int(PARAMETERS["DeliverTimeoutSeconds"]) + 1)}  # ten of them take as long
    stack.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=receives)
    names = [f"outage-{number}" for number in range(20)]
    proxy.faults = [Fault(Kind.REFUSED, "dynamodb:PutItem .*Attempts")]
    tenant.publish(*(tenant.event(name) for name in names))
    eventually(lambda: dead_letters(stack) == len(names), "every delivery is a dead letter", SETTLE_SECONDS)
    proxy.faults = []
    down.clear()
    redriven: Counter[str] = Counter()
    eventually(lambda: settled(stack, redriven), "every queue is empty", SETTLE_SECONDS)
    note("redriven", redriven["messages"])
    assert Counter(end_of(hook, endpoint, tenant, name) for name in names) == {"delivered": len(names)}


@pytest.mark.parametrize(
    "call",
    ["dynamodb:UpdateItem .*Outcomes", "dynamodb:BatchWriteItem", "dynamodb:PutItem .*Attempts", "events:"],
)
def test_a_service_that_never_responds_has_no_webhook_of_a_healthy_app_sent_twice(
    faulty: tuple[Stack, FaultProxy], tenant: Tenant, call: str
) -> None:
    proxy = faulty[1]
    _, healthy = tenant.app(ok)
    tenant.app(failing_first(1))
    names = [f"silent-{number}" for number in range(20)]
    proxy.faults = [Fault(Kind.SLOW, call, seconds=60.0)]
    tenant.publish(*(tenant.event(name) for name in names))
    eventually(lambda: len(healthy.copies) == len(names), "every webhook of the healthy app arrives")
    time.sleep(2 * int(PARAMETERS["DeliverTimeoutSeconds"]))  # for what a timeout would send again
    proxy.faults = []
    assert set(healthy.copies.values()) == {1}
