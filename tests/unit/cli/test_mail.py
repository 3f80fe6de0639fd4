import json

import pytest

from bellhop.registry import AuditEntry, Organization
from health.messages import FollowUp
from infra.cli.views import mail_states
from tests.unit.cli.cli_runner import CloudFormation, refused, succeed
from tests.unit.cli.failing_app import ADA, BOB, HOSTILE, announced, register, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")

OFF = FollowUp("pager", "00000001#disabled")


def mails(key: str = "00000001#disabled") -> dict[str, str]:
    return mail_states(AuditEntry.get("pager", key, consistent_read=True))


def test_a_mail_of_unknown_result_is_sent_again_and_no_other() -> None:
    register()
    switch_off()
    shown = succeed("mail", "resend", "pager", "--yes")
    assert mails() == {ADA: "sent", BOB: "pending"}
    assert announced() == [OFF]
    assert "it may have arrived" in shown
    assert f"Health sends the mail again to: {BOB}." in shown
    assert AuditEntry.get("pager", OFF.transition_id).finished_at is None


def test_nothing_is_sent_unasked() -> None:
    register()
    switch_off()
    assert "add --yes" in refused("mail", "resend", "pager")
    assert "add --yes" in refused("mail", "resend", "pager", "--json")
    assert mails()[BOB] == "unknown"
    assert announced() == []


def test_a_mail_that_was_sent_is_sent_again_to_whom_is_named() -> None:
    register()
    switch_off()
    document = json.loads(succeed("mail", "resend", "pager", OFF.transition_id, "--to", ADA, "--yes", "--json"))
    assert document == {"app_id": "pager", "transition_id": OFF.transition_id, "resent": [ADA]}
    assert mails() == {ADA: "pending", BOB: "unknown"}
    said = refused("mail", "resend", "pager", "--to", "eve@acme.example", "--yes")
    assert f"is none of the owners that {OFF.transition_id} tells: {ADA}, {BOB}" in said


def test_a_resend_that_was_interrupted_is_completed_by_another() -> None:
    register()
    switch_off()
    succeed("mail", "resend", "pager", "--yes")
    announced()
    assert f"again to: {BOB}." in succeed("mail", "resend", "pager", "--yes")
    assert announced() == [OFF]


def test_a_mail_that_is_being_sent_is_left_alone() -> None:
    register()
    switch_off(mails={ADA: "sending", BOB: "sent"})
    assert "is being sent just now" in refused("mail", "resend", "pager", "--to", ADA, "--yes")
    said = refused("mail", "resend", "pager", "--yes")
    assert f"no mail of {OFF.transition_id} failed ({ADA} sending, {BOB} sent)" in said
    assert announced() == []


def test_who_bounced_is_to_be_taken_off_the_list_of_ses_first() -> None:
    register()
    switch_off(mails={ADA: "bounced", BOB: "rejected"})
    shown = succeed("mail", "resend", "pager", "--yes")
    assert f"aws sesv2 delete-suppressed-destination --email-address {ADA}" in shown
    assert f"--email-address {BOB}" not in shown
    assert mails() == {ADA: "pending", BOB: "pending"}


def test_a_warning_that_was_overtaken_is_not_sent_any_more() -> None:
    register()
    key = "00000001#warned#acme#timeouts#1#2026-11-22"
    switch_off()
    AuditEntry(
        "pager",
        key,
        organization_id="acme",
        action="app.warned",
        actor="health",
        at="2026-11-22T00:00:00+00:00",
        evidence={"rule": "timeouts", "warning": {"level": 1, "reached": 500, "limit": 1000}, "days": []},
        mails={ADA: "unknown"},
    ).save()
    assert "a later transition overtook" in refused("mail", "resend", "pager", key, "--yes")
    assert "500 of 1,000" in succeed("mail", "show", "pager", key)
    assert OFF.transition_id in succeed("mail", "show", "pager")


def test_an_app_that_nobody_was_mailed_about_says_so() -> None:
    register()
    assert "no mail was ever sent about pager" in refused("mail", "resend", "pager")
    assert "has no audit entry '1'" in refused("mail", "show", "pager", "1")
    switch_off(mails={})
    assert "mailed nobody" in refused("mail", "show", "pager", OFF.transition_id)
    assert "no mail was ever sent" in refused("mail", "show", "pager")


def test_a_mail_is_shown_as_its_owner_gets_it(cloudformation: CloudFormation) -> None:
    register()
    switch_off()
    shown = succeed("mail", "show", "pager")
    assert shown.startswith(f"To: {ADA}\nSubject: Action required: Fix your Pager integration\n")
    assert "https://tracker.example/settings/acme/pager/" in shown
    assert f"{BOB}  unknown" in shown
    assert f"To: {BOB}\n" in succeed("mail", "show", "pager", "--to", BOB)
    html = succeed("mail", "show", "pager", "--html")
    assert html.lstrip().startswith("<")
    assert html.rstrip().endswith("</html>")
    document = json.loads(succeed("mail", "show", "pager", "--json"))
    assert document["mail"]["recipient"] == ADA
    assert document["mails"] == {ADA: "sent", BOB: "unknown"}


def test_a_mail_with_hostile_names_cannot_command_the_terminal() -> None:
    register(name=HOSTILE)
    switch_off(mails={"\x1b7@acme.example": "unknown"})
    for command in (("mail", "show", "pager"), ("mail", "resend", "pager", "--yes")):
        shown = succeed(*command)
        assert "\\x1b7@acme.example" in shown
        assert not any(c in shown for c in "\x1b\x07\u202e")


def test_a_mail_of_an_organisation_that_is_gone_says_so() -> None:
    register()
    switch_off()
    Organization("acme").delete()
    assert "organisation 'acme' is not registered any more" in refused("mail", "show", "pager")
