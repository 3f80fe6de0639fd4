"""A deployed stack with apps, traffic and something that can fail; and the operator who mends what is left."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

from bellhop.queues import OutgoingMessage, Queue
from bellhop.registry import AuditEntry
from infra.cli.commands.mail import needs_resending
from infra.local.registering import Hook, register, use_stack
from infra.local.stack import Stack, deployed_stack
from infra.local.webhook_server import PlannedResponse
from tests.e2e.disabled_app import BELLHOP
from tests.faults.outage_endpoints import Endpoint, accepting
from tests.faults.outage_parts import Part
from tests.faults.queues import outstanding
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.tenant import SECRET, Tenant, eventually
from tests.support.workers import worker_pids

EVENTS_PER_SECOND = 1.0
HEALTHY = 3
FUNCTIONS = ("NotifyFunction", "DeliverFunction", "HealthFunction")
SETTLE_SECONDS = 2400.0
FIRST_RETRY_SECONDS = 5
QUIET_CHECKS, QUIET_SECONDS = 3, 3.0
# All else is as on AWS, such as the visibility timeouts that decide when a message comes back.
PARAMETERS: dict[str, str | int | None] = {
    "RetryDelaysSeconds": f"{FIRST_RETRY_SECONDS},10,20,40,60,90,120,180,240,300",
    "CacheSeconds": None,
    "DeliveryDeadlineSeconds": None,
}


@dataclass(frozen=True)
class AppAtEndpoint:
    """A registered app and its endpoint."""

    hook: Hook
    endpoint: Endpoint


@dataclass
class Scene:
    """The stack and its apps during one part's outage. `published`: when, by event id (Unix seconds)."""

    part: Part
    stack: Stack
    proxy: FaultProxy
    tenant: Tenant
    staying: Sequence[AppAtEndpoint]
    retiring: Sequence[AppAtEndpoint]
    published: dict[str, float] = field(default_factory=dict)

    @property
    def apps(self) -> list[AppAtEndpoint]:
        """All of them."""
        return [*self.staying, *self.retiring]

    @cached_property
    def _queue(self) -> Queue:
        return Queue(self.stack.client("sqs"), self.stack.outputs["IssueEventsQueueUrl"])

    def publish_until(self, end: float) -> None:
        """Publish events at a steady rate until then."""
        began = time.time()
        for number in count(1):
            if time.time() >= end:
                return
            event_id = f"event-{len(self.published)}"
            self.published[event_id] = time.time()
            text = json.dumps(self.tenant.event(event_id))
            self._queue.send(OutgoingMessage(text, self.tenant.organization))
            time.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.time()))

    def begin_outage(self) -> None:
        """Let the part fail."""
        self.proxy.faults = self.part.faults()
        if self.part.calls is None:
            for number, app in enumerate(self.apps):
                if number % 2:
                    app.endpoint.refuse()
                app.endpoint.hanging = True

    def end_outage(self) -> None:
        """Let nothing fail any more."""
        self.proxy.faults = []
        if self.part.calls is None:
            for number, app in enumerate(self.apps):
                app.endpoint.hanging = False
                if number % 2:
                    app.endpoint.accept()

    def kill_processes(self) -> int:
        """Kill every process of the functions, if the part says so; how many there were."""
        names = FUNCTIONS if self.part.killed else ()
        found = [pid for name in names for pid in worker_pids(self.stack, name, self.proxy.url)]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def entries(self) -> list[AuditEntry]:
        """What happened to the apps, such as being switched off."""
        return [entry for app in self.apps for entry in AuditEntry.query(app.hook.app_id, consistent_read=True)]

    def under_way(self) -> int:
        """How many messages the queues hold, and at least one more while there is a schedule."""
        return outstanding(self.stack) + len(self.stack.client("scheduler").list_schedules()["Schedules"])


@dataclass
class Operator:
    """Mends what is left after an outage, by the bellhop command; counts what there was."""

    scene: Scene
    redriven: int = 0
    not_redriven: int = 0
    mails_resent: int = 0
    follow_ups_finished: int = 0

    def mend(self) -> None:
        """Wait until nothing is under way, send again what waits for a person, and so on until nothing does."""
        while True:
            eventually(self._quiet, "nothing is under way", SETTLE_SECONDS)
            if not self._redrive() + self._resend_mails() + self._finish_follow_ups():
                return

    def _quiet(self) -> bool:
        """Whether nothing is under way, and nothing was a moment ago: streams wake functions without a queue."""
        for _ in range(QUIET_CHECKS):
            if self.scene.under_way():
                return False
            time.sleep(QUIET_SECONDS)
        return True

    def _redrive(self) -> int:
        done = bellhop("dead-letters", "redrive", "--all")
        redriven = Counter[str](done["redriven"]).total()
        self.redriven, self.not_redriven = self.redriven + redriven, len(done["left"])
        return redriven

    def _resend_mails(self) -> int:
        entries = [each for each in self.scene.entries() if needs_resending(each)]
        for each in entries:
            self.mails_resent += len(bellhop("mail", "resend", each.app_id, each.transition_id, "--yes")["resent"])
        return len(entries)

    def _finish_follow_ups(self) -> int:
        unfinished = {each.app_id for each in self.scene.entries() if not each.finished_at}
        for app_id in unfinished:
            bellhop("disable", app_id, "--reason", "its follow-up is not finished", "--yes")
        self.follow_ups_finished += len(unfinished)
        return len(unfinished)


def bellhop(*arguments: str) -> Any:
    """The JSON that the operator's command prints, whether or not all of it could be done."""
    command = [str(BELLHOP), *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    return json.loads(done.stdout)


@contextmanager
def deployed(part: Part) -> Iterator[Scene]:
    """A stack with its apps, for the length of the block."""
    proxies: list[FaultProxy] = []

    @contextmanager
    def in_front(upstream: str) -> Iterator[str]:
        with fault_proxy(upstream) as proxy:
            proxies.append(proxy)
            yield proxy.url

    before = dict(os.environ)
    with deployed_stack(PARAMETERS, in_front=in_front) as stack, ExitStack() as exit_stack:
        use_stack(stack, os.environ)
        tenant = Tenant(stack, exit_stack)
        yield Scene(part, stack, proxies[0], tenant, *_register(part, tenant, exit_stack))
    os.environ.clear()
    os.environ.update(before)


def _register(
    part: Part, tenant: Tenant, exit_stack: ExitStack
) -> tuple[list[AppAtEndpoint], list[AppAtEndpoint]]:
    """The apps that stay and those that retire."""
    busy = PlannedResponse(503, headers=(("Retry-After", str(part.retry_after)),))
    firsts = [PlannedResponse(200)] * HEALTHY + [PlannedResponse(500), busy]
    firsts += [PlannedResponse(200)] * part.retiring
    hosts = [f"127.0.0.{1 + number * part.sites}" for number in range(len(firsts))]
    endpoints = [
        exit_stack.enter_context(accepting(Endpoint(SECRET, host, first)))
        for host, first in zip(hosts, firsts, strict=True)
    ]
    apps = [AppAtEndpoint(Hook(f"app-{n}", each.url, SECRET), each) for n, each in enumerate(endpoints)]
    register(tenant.organization, tenant.owners, [app.hook for app in apps])
    return apps[: len(apps) - part.retiring], apps[len(apps) - part.retiring :]
