"""Switching an app off while something else fails too, on the deployed template with its roles."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bellhop.registry import DISABLED, App, AuditEntry
from infra.local.registering import Hook
from infra.local.stack import PARAMETERS
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import RepairableEndpoint, finished_entry, mails_by_owner, state, unfinished_follow_ups

pytestmark = pytest.mark.stack


@contextmanager
def ses_refusing(tenant: Tenant) -> Iterator[None]:
    """SES as it is before the sender's identity is verified."""
    ses, identity = tenant.stack.client("sesv2"), PARAMETERS["MailIdentity"]
    ses.delete_email_identity(EmailIdentity=identity)
    try:
        yield
    finally:
        ses.create_email_identity(EmailIdentity=identity)


def entry(hook: Hook) -> AuditEntry | None:
    found = list(AuditEntry.query(hook.app_id, consistent_read=True))
    return found[0] if found else None


def steps_done(hook: Hook) -> set[str]:
    found = entry(hook)
    return set(found.done or ()) if found else set()


def test_no_mail_is_lost_or_sent_twice_while_ses_refuses(tenant: Tenant) -> None:
    hook, _ = tenant.app(RepairableEndpoint())
    with ses_refusing(tenant):
        tenant.publish(tenant.event("last"))
        eventually(lambda: steps_done(hook) == {"event", "recovery_check"}, "all but the mail is done")
        assert mails_by_owner(tenant, hook, "Action required") == {}
        assert state(hook) == (DISABLED, 2)
    eventually(lambda: finished_entry(hook, "app.disabled"), "the mail is sent when the message comes back")
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


def test_an_organisation_without_owners_has_its_app_switched_off_and_nobody_mailed(tenant: Tenant) -> None:
    tenant.owners = ()
    hook, _ = tenant.app(RepairableEndpoint())
    tenant.publish(tenant.event("last"))
    eventually(lambda: finished_entry(hook, "app.disabled"), "the switching off is finished")
    assert state(hook) == (DISABLED, 2)
    assert mails_by_owner(tenant, hook, "Action required") == {}


def test_the_follow_up_of_an_app_that_is_deleted_before_its_mail_is_sent_ends_without_mail(tenant: Tenant) -> None:
    hook, _ = tenant.app(RepairableEndpoint())
    with ses_refusing(tenant):
        tenant.publish(tenant.event("last"))
        eventually(lambda: steps_done(hook) == {"event", "recovery_check"}, "all but the mail is done")
        App(hook.app_id).delete()
    eventually(lambda: finished_entry(hook, "app.disabled"), "the follow-up ends")
    assert mails_by_owner(tenant, hook, "Action required") == {}
    eventually(lambda: unfinished_follow_ups(tenant) == 0, "nothing is left to do")
