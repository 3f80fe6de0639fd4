"""The queues are purged under load, and the sweep finds everything, on the deployed template with its roles."""

import time

import pytest

from bellhop import attempts
from bellhop.attempts import RETRYING, DeliveryRecord
from bellhop.deliveries import delivery_id
from health.messages import RetrySweep
from infra.local.paused_triggers import messages_in
from infra.local.receiver import busy_once
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import send_to_health

pytestmark = pytest.mark.stack

EVENTS = 8  # fewer than the strikes that pause an app
HOURS = 3 * 3600.0


def test_purging_the_retry_queue_loses_nothing_but_time(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(busy_once(600))
    ids = [delivery_id(tenant.organization, f"lost-{n}", f"installation-{hook.app_id}") for n in range(EVENTS)]
    tenant.publish(*(tenant.event(f"lost-{n}") for n in range(EVENTS)))

    def retrying() -> list[DeliveryRecord]:
        records = filter(None, map(attempts.load, ids))
        return [record for record in records if record.state == RETRYING]

    eventually(lambda: len(retrying()) == EVENTS, "every first attempt has failed")
    eventually(
        lambda: sum(hook.app_id in message["Body"] for message in messages_in(tenant.stack, "Retries")) == EVENTS,
        "every retry waits",
    )
    tenant.stack.client("sqs").purge_queue(QueueUrl=tenant.stack.outputs["RetriesQueueUrl"])
    assert messages_in(tenant.stack, "Retries") == []
    for record in retrying():  # three hours pass
        record.update(actions=[DeliveryRecord.next_attempt_at.set(time.time() - HOURS)])
    send_to_health(tenant, RetrySweep())
    eventually(lambda: len(endpoint.received) == 2 * EVENTS, "every retry is made")
    assert dict(endpoint.copies) == dict.fromkeys(ids, 2)
    eventually(lambda: not retrying(), "none is due any more")
