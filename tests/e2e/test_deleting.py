"""Deleting an app on the deployed template: what was parked of it ends, and nothing more arrives."""

import pytest

from bellhop import attempts
from bellhop.attempts import STOPPED
from bellhop.registry import App, AuditEntry, Installation, find
from bellhop.secrets import SigningSecret
from health.transitions import last_deletion
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import bellhop, disable_app, is_parking, replayable_deliveries

pytestmark = pytest.mark.stack


def test_what_is_parked_of_an_app_that_is_deleted_ends_and_never_arrives(tenant: Tenant) -> None:
    hook, endpoint, behaviour = disable_app(tenant)
    eventually(lambda: is_parking(tenant, hook), "deliver knows that the app is off")
    behaviour.status = 200  # not before: an attempt of a process that does not know it yet would leave no record
    tenant.publish(*(tenant.event(f"parked-{n}") for n in range(3)))
    eventually(lambda: len(replayable_deliveries(hook)) >= 4, "they are parked")
    parked, arrived = replayable_deliveries(hook), len(endpoint.received)
    found = bellhop("delete", "app", hook.app_id, "--yes", "--discard")
    assert found["waiting"]["parked"] == len(parked)
    assert find(App, hook.app_id, consistent=True) is None
    assert find(SigningSecret, hook.app_id, consistent=True) is None
    assert list(Installation.by_app.query(hook.app_id)) == []
    eventually(lambda: not replayable_deliveries(hook), "none is parked any more", 120)
    assert {record.state for name in parked if (record := attempts.load(name))} == {STOPPED}
    assert len(endpoint.received) == arrived
    deletion = last_deletion(hook.app_id)
    assert deletion
    assert deletion.finished_at
    assert not any(entry.mails.attribute_values for entry in AuditEntry.query(hook.app_id))
