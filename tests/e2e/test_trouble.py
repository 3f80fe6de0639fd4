"""Switching off while something else fails too: on the deployed template, with its roles."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bellhop.registry import DISABLED, App, AuditEntry
from infra.local.registering import Hook
from infra.local.stack import PARAMETERS
from tests.e2e.conftest import Town, eventually
from tests.e2e.switching import Door, about, finished, state, waiting

pytestmark = pytest.mark.stack


@contextmanager
def ses_refusing(town: Town) -> Iterator[None]:
    """SES as it is before the sender's identity is verified."""
    ses, identity = town.stack.client("sesv2"), PARAMETERS["MailIdentity"]
    ses.delete_email_identity(EmailIdentity=identity)
    try:
        yield
    finally:
        ses.create_email_identity(EmailIdentity=identity)


def entry(hook: Hook) -> AuditEntry | None:
    found = list(AuditEntry.query(hook.app_id, consistent_read=True))
    return found[0] if found else None


def done(hook: Hook) -> set[str]:
    made = entry(hook)
    return set(made.done or ()) if made else set()


def test_no_mail_is_lost_or_doubled_while_ses_refuses(town: Town) -> None:
    hook, _ = town.app(Door())
    with ses_refusing(town):
        town.publish(town.event("last"))
        eventually(lambda: done(hook) == {"event", "recovery_check"}, "all but the mail is done")
        assert about(town, hook, "Action required") == {}
        assert state(hook) == (DISABLED, 2)
    eventually(lambda: finished(hook, "app.disabled"), "the mail follows when its message comes back")
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)


def test_an_organisation_without_owners_has_its_app_switched_off_and_nobody_mailed(town: Town) -> None:
    town.owners = ()
    hook, _ = town.app(Door())
    town.publish(town.event("last"))
    eventually(lambda: finished(hook, "app.disabled"), "the switching off is finished")
    assert state(hook) == (DISABLED, 2)
    assert about(town, hook, "Action required") == {}


def test_an_app_that_is_deleted_before_its_mail_goes_out_ends_quietly(town: Town) -> None:
    hook, _ = town.app(Door())
    with ses_refusing(town):
        town.publish(town.event("last"))
        eventually(lambda: done(hook) == {"event", "recovery_check"}, "all but the mail is done")
        App(hook.app_id).delete()
    eventually(lambda: finished(hook, "app.disabled"), "the follow-up ends")
    assert about(town, hook, "Action required") == {}
    eventually(lambda: waiting(town) == 0, "nothing is left to do")
