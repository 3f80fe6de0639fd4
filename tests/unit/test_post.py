"""At most one mail for each owner and transition, none silently lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from bellhop.registry import App, AuditEntry, Organization
from health.post import Desk, MailRefusedError, follow_up
from health.switch import audit_entry
from tests.fakes import NOW, Recorder, app, organization

ADA, BOB = "ada@acme.example", "bob@acme.example"
KEY = audit_entry(1)
EVIDENCE = {
    "rule": "fatal",
    "url": "https://hooks.example/in",
    "days": [{"day": "2026-11-23", "success": 0, "error": 0, "timeout": 0, "fatal": 1}],
    "last_failure": None,
}


@dataclass
class Ses:
    """Takes a mail unless it is told to fail."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    fail: Callable[[], Exception] | None = None

    def send_email(self, **mail: Any) -> dict[str, str]:
        if self.fail:
            raise self.fail()
        self.sent.append(mail)
        return {"MessageId": "id"}

    def recipients(self) -> list[str]:
        return [address for mail in self.sent for address in mail["Destination"]["ToAddresses"]]


def refusal(status: int = 400) -> Callable[[], Exception]:
    answer = {"Error": {"Code": "MessageRejected"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return lambda: ClientError(answer, "SendEmail")  # type: ignore[arg-type]


@pytest.fixture
def ses() -> Ses:
    return Ses()


@pytest.fixture
def desk(aws: None, ses: Ses) -> Desk:
    app(state="disabled", epoch=2).save()
    organization().save()
    AuditEntry(
        "pager",
        KEY,
        organization_id="acme",
        action="app.disabled",
        actor="health",
        at="2026-11-23T12:00:00+00:00",
        evidence=EVIDENCE,
        mails={ADA: "pending", BOB: "pending"},
    ).save()
    return Desk(ses, "bellhop@tracker.example", "https://t.example/{organization}/{app}/", Recorder(), lambda: NOW)


def mails() -> dict[str, str]:
    return dict(entry().mails.attribute_values)


def entry() -> AuditEntry:
    return AuditEntry.get("pager", KEY, consistent_read=True)


def test_each_owner_gets_one_mail_of_their_own(desk: Desk, ses: Ses) -> None:
    follow_up("pager", KEY, desk)
    assert ses.recipients() == [ADA, BOB]
    assert mails() == {ADA: "sent", BOB: "sent"}
    assert entry().finished_at


def test_a_repeated_message_mails_nobody_again(desk: Desk, ses: Ses) -> None:
    for _ in range(3):
        follow_up("pager", KEY, desk)
    assert len(ses.sent) == 2


@pytest.mark.parametrize("status", [400, 403, 429])
def test_a_definite_refusal_is_tried_again_with_the_message(desk: Desk, ses: Ses, status: int) -> None:
    ses.fail = refusal(status)
    with pytest.raises(MailRefusedError):
        follow_up("pager", KEY, desk)
    assert mails() == {ADA: "pending", BOB: "pending"}
    ses.fail = None
    follow_up("pager", KEY, desk)
    assert ses.recipients() == [ADA, BOB]


def test_one_refused_owner_does_not_keep_the_others_waiting(desk: Desk, ses: Ses) -> None:
    refused = iter([True, False])
    ses.fail = None
    original = ses.send_email

    def once(**mail: Any) -> dict[str, str]:
        if next(refused, False):
            failure = refusal()()
            raise failure
        return original(**mail)

    ses.send_email = once  # type: ignore[method-assign]
    with pytest.raises(MailRefusedError):
        follow_up("pager", KEY, desk)
    assert mails() == {ADA: "pending", BOB: "sent"}


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(refusal(500), id="a 500"),
        pytest.param(lambda: ReadTimeoutError(endpoint_url="https://ses"), id="no answer in time"),
        pytest.param(lambda: EndpointConnectionError(endpoint_url="https://ses"), id="no connection"),
    ],
)
def test_an_unknown_result_is_alarmed_and_never_sent_again_by_itself(
    desk: Desk, ses: Ses, fail: Callable[[], Exception]
) -> None:
    ses.fail = fail
    follow_up("pager", KEY, desk)
    assert mails() == {ADA: "unknown", BOB: "unknown"}
    assert desk.telemetry.counts["MailUnknown"] == 2
    ses.fail = None
    follow_up("pager", KEY, desk)
    assert ses.sent == []


def test_a_worker_that_died_between_claim_and_mark_leaves_an_unknown_result(desk: Desk, ses: Ses) -> None:
    entry().update(actions=[AuditEntry.mails.set({ADA: "sending", BOB: "pending"})])
    follow_up("pager", KEY, desk)
    assert mails() == {ADA: "unknown", BOB: "sent"}
    assert ses.recipients() == [BOB]
    assert desk.telemetry.counts["MailUnknown"] == 1


def test_an_organisation_without_owners_is_finished_without_mail(desk: Desk, ses: Ses) -> None:
    entry().update(actions=[AuditEntry.mails.set({})])
    follow_up("pager", KEY, desk)
    assert ses.sent == []
    assert entry().finished_at


@pytest.mark.parametrize("gone", [App, Organization])
def test_an_app_or_organisation_deleted_meanwhile_ends_the_mailing(desk: Desk, ses: Ses, gone: Any) -> None:
    (gone("pager") if gone is App else gone("acme")).delete()
    follow_up("pager", KEY, desk)
    assert ses.sent == []
    assert entry().finished_at


def test_a_message_for_an_entry_that_is_not_there_is_done(desk: Desk, ses: Ses) -> None:
    follow_up("pager", "nothing", desk)
    assert ses.sent == []
