"""At most one mail for each owner and transition, none silently lost."""

import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from pynamodb.exceptions import UpdateError

from bellhop.budget import END_SECONDS
from bellhop.registry import App, AuditEntry, Organization
from health.dependencies import HealthDependencies
from health.mail import mailer
from health.mail.mailer import MAIL_SECONDS, MailsPendingError
from health.messages import MailEvent, decode, tags
from tests.support.fakes import NOW, Recorder, app, organization
from tests.support.health import health_dependencies
from tests.support.servers import read_request, serve
from tests.support.ses import ADA, BOB, TRANSITION_ID, Ses, disabled, entry, mails, refusal


@pytest.fixture
def ses() -> Ses:
    return Ses()


@pytest.fixture
def telemetry() -> Recorder:
    return Recorder()


@pytest.fixture
def deps(aws: None, ses: Ses, telemetry: Recorder) -> HealthDependencies:
    app(state="disabled", generation=2).save()
    organization().save()
    disabled(lease_holder="this worker").save()
    return health_dependencies(ses=ses, telemetry=telemetry)


def send(deps: HealthDependencies) -> None:
    mailer.send_mails(entry(), deps)


def test_each_owner_gets_one_mail_of_their_own(deps: HealthDependencies, ses: Ses) -> None:
    send(deps)
    assert ses.recipients() == [ADA, BOB]
    assert mails() == {ADA: "sent", BOB: "sent"}


def test_a_repeated_message_mails_nobody_again(deps: HealthDependencies, ses: Ses) -> None:
    for _ in range(3):
        send(deps)
    assert len(ses.sent) == 2


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(refusal(400), id="sandbox"),
        pytest.param(refusal(403), id="not allowed"),
        pytest.param(refusal(429), id="throttled"),
        pytest.param(lambda: EndpointConnectionError(endpoint_url="https://ses"), id="no connection"),
        pytest.param(lambda: ConnectTimeoutError(endpoint_url="https://ses"), id="no connection in time"),
    ],
)
def test_a_definite_refusal_is_tried_again_with_the_message(
    deps: HealthDependencies, ses: Ses, fail: Callable[[], Exception]
) -> None:
    ses.fail = fail
    with pytest.raises(MailsPendingError):
        send(deps)
    assert mails() == {ADA: "pending", BOB: "pending"}
    ses.fail = None
    send(deps)
    assert ses.recipients() == [ADA, BOB]


def test_one_refused_mail_does_not_delay_the_others(deps: HealthDependencies, ses: Ses) -> None:
    refused = iter([True, False])
    ses.fail = None
    original = ses.send_email

    def once(**mail: Any) -> dict[str, str]:
        if next(refused, False):
            failure = refusal()()
            raise failure
        return original(**mail)

    ses.send_email = once  # type: ignore[method-assign]
    with pytest.raises(MailsPendingError):
        send(deps)
    assert mails() == {ADA: "pending", BOB: "sent"}


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(refusal(500), id="a 500"),
        pytest.param(lambda: ReadTimeoutError(endpoint_url="https://ses"), id="no response in time"),
        pytest.param(lambda: ConnectionClosedError(endpoint_url="https://ses"), id="closed without a response"),
    ],
)
def test_an_unknown_result_is_alarmed_and_never_sent_again_by_itself(
    deps: HealthDependencies, ses: Ses, fail: Callable[[], Exception], telemetry: Recorder
) -> None:
    ses.fail = fail
    send(deps)
    assert mails() == {ADA: "unknown", BOB: "unknown"}
    assert telemetry.counts["MailUnknown"] == 2
    ses.fail = None
    send(deps)
    assert ses.sent == []


def test_a_worker_that_died_between_claim_and_mark_leaves_an_unknown_result(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder
) -> None:
    entry().update(actions=[AuditEntry.mails.set({ADA: "sending", BOB: "pending"})])
    send(deps)
    assert mails() == {ADA: "unknown", BOB: "sent"}
    assert ses.recipients() == [BOB]
    assert telemetry.counts["MailUnknown"] == 1


def test_an_organisation_without_owners_is_mailed_nothing_and_the_log_says_so(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder
) -> None:
    entry().update(actions=[AuditEntry.mails.set({})])
    send(deps)
    assert ses.sent == []
    assert telemetry.logged("no mail sent: the transition has no owners to tell")


@pytest.mark.parametrize("gone", [App, Organization])
def test_an_app_or_organisation_deleted_meanwhile_ends_the_mailing(
    deps: HealthDependencies, ses: Ses, gone: Any
) -> None:
    (gone("pager") if gone is App else gone("acme")).delete()
    send(deps)
    assert ses.sent == []
    assert mails() == {ADA: "skipped", BOB: "skipped"}


def test_a_mail_says_which_settings_and_which_transition_it_belongs_to(deps: HealthDependencies, ses: Ses) -> None:
    send(deps)
    mail = ses.sent[0]
    assert mail["ConfigurationSetName"] == "mail-settings"
    assert {t["Name"]: t["Value"] for t in mail["EmailTags"]} == tags("pager", TRANSITION_ID)
    # https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,256}", t["Value"]) for t in mail["EmailTags"])


NO_MORE = "SES sends no more mail to this address"


def event(kind: str, **said: Any) -> dict[str, Any]:
    carried = {name: [value] for name, value in tags("pager", TRANSITION_ID).items()}
    mail = {"destination": [ADA], "tags": carried | {"ses:configuration-set": ["mail-settings"]}}
    return {"source": "aws.ses", "detail": {"eventType": kind, kind.lower(): said, "mail": mail}}


@pytest.mark.parametrize(
    ("said", "state", "means"),
    [
        (event("Bounce", bounceType="Permanent", bounceSubType="OnAccountSuppressionList"), "bounced", NO_MORE),
        (event("Complaint", complaintFeedbackType="abuse"), "complained", NO_MORE),
        (event("Reject", reason="Bad content"), "rejected", "SES did not send it"),
    ],
    ids=["bounce", "complaint", "reject"],
)
def test_what_ses_says_of_a_mail_later_is_noted_in_the_entry_and_the_log(
    deps: HealthDependencies, said: dict[str, Any], state: str, means: str, telemetry: Recorder
) -> None:
    send(deps)
    read = decode(json.dumps(said))
    assert isinstance(read, MailEvent)
    mailer.record_event(read, deps)
    assert mails() == {ADA: state, BOB: "sent"}
    [line] = telemetry.logged(f"mail {state}: {means}")
    assert line["owner"] == ADA
    assert line["reason"]


def test_a_bounce_of_a_transition_that_is_not_known_any_more_is_only_logged(
    deps: HealthDependencies, telemetry: Recorder
) -> None:
    mailer.record_event(MailEvent("Bounce", "Permanent", (ADA,), "pager", "gone"), deps)
    assert telemetry.counts == {"MailBounced": 1}


def test_a_mail_of_unknown_result_is_sent_again_when_a_person_says_so(deps: HealthDependencies, ses: Ses) -> None:
    ses.fail = refusal(500)
    send(deps)
    ses.fail = None
    entry().update(actions=[AuditEntry.finished_at.set("then"), AuditEntry.done.add({"mail", "event"})])
    assert mailer.resend("pager", TRANSITION_ID, ADA, NOW.timestamp())
    assert not entry().finished_at
    assert entry().done == {"event"}
    send(deps)
    assert ses.recipients() == [ADA]
    assert mails() == {ADA: "sent", BOB: "unknown"}


def test_a_mail_is_not_resent_while_a_worker_is_at_its_transition(deps: HealthDependencies) -> None:
    now = NOW.timestamp()
    entry().update(actions=[AuditEntry.mails.set({ADA: "unknown"}), AuditEntry.lease_until.set(now + 1)])
    assert not mailer.resend("pager", TRANSITION_ID, ADA, now)
    assert mailer.resend("pager", TRANSITION_ID, ADA, now + 2)
    assert not mailer.resend("pager", TRANSITION_ID, "nobody@acme.example", now + 2)
    assert not mailer.resend("pager", "nothing", ADA, now + 2)


def test_a_mail_left_pending_by_a_finished_transition_is_resent(deps: HealthDependencies) -> None:
    entry().update(actions=[AuditEntry.finished_at.set("then"), AuditEntry.done.add({"mail"})])
    assert mailer.resend("pager", TRANSITION_ID, ADA, NOW.timestamp())
    assert not entry().finished_at
    assert not entry().done


@dataclass
class LostResponses:
    """The audit table makes every write; of those that set a mail's state, `lost` responses do not come back.

    As the SDK does, a write without a response is made a second time.
    """

    lost: int
    update: Callable[..., Any] = AuditEntry.update

    def __get__(self, entry: AuditEntry, _: type) -> Callable[..., Any]:
        return partial(self._make, entry)

    def _make(self, entry: AuditEntry, **change: Any) -> Any:
        for _ in range(2):
            response = self.update(entry, **change)
            if not self.lost:
                return response
            self.lost -= 1
        raise UpdateError("no response", ReadTimeoutError(endpoint_url="https://dynamodb"))


def test_a_claim_whose_response_was_lost_is_known_again_and_the_mail_goes_out(
    deps: HealthDependencies, ses: Ses, monkeypatch: pytest.MonkeyPatch, telemetry: Recorder
) -> None:
    lost = LostResponses(1)
    monkeypatch.setattr(AuditEntry, "update", lost)
    send(deps)
    assert mails() == {ADA: "sent", BOB: "sent"}
    assert "MailUnknown" not in telemetry.counts


def test_a_claim_that_never_got_a_response_is_taken_back_and_the_mail_goes_out_later(
    deps: HealthDependencies, ses: Ses, monkeypatch: pytest.MonkeyPatch, telemetry: Recorder
) -> None:
    lost = LostResponses(2)
    with monkeypatch.context() as patch:
        patch.setattr(AuditEntry, "update", lost)
        with pytest.raises(UpdateError):
            send(deps)
    assert mails() == {ADA: "pending", BOB: "pending"}
    send(deps)
    assert mails() == {ADA: "sent", BOB: "sent"}
    assert "MailUnknown" not in telemetry.counts


@dataclass
class LateRefusal:
    """The audit table refuses the first write; its worker then freezes, while another one takes the entry over."""

    refused: bool = False
    update: Callable[..., Any] = AuditEntry.update

    def __get__(self, entry: AuditEntry, _: type) -> Callable[..., Any]:
        return partial(self._make, entry)

    def _make(self, entry: AuditEntry, **change: Any) -> Any:
        if self.refused:
            return self.update(entry, **change)
        self.refused = True
        taken = [AuditEntry.lease_holder.set("another"), AuditEntry.mails.set({ADA: "sending"})]
        self.update(AuditEntry(entry.app_id, entry.transition_id), actions=taken)
        raise UpdateError("no response", ReadTimeoutError(endpoint_url="https://dynamodb"))


def test_a_worker_that_had_frozen_at_its_claim_gave_back_another_ones_and_the_owner_got_two_mails(
    deps: HealthDependencies, ses: Ses, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = entry()
    refusal = LateRefusal()
    monkeypatch.setattr(AuditEntry, "update", refusal)
    with pytest.raises(UpdateError):
        mailer.send_mails(late, deps)
    assert mails() == {ADA: "sending"}


def test_a_worker_that_lost_the_lease_claims_nothing(deps: HealthDependencies, ses: Ses) -> None:
    late = entry()
    entry().update(actions=[AuditEntry.lease_holder.set("another"), AuditEntry.mails.set({ADA: "sending"})])
    with pytest.raises(MailsPendingError):
        mailer.send_mails(late, deps)
    assert (mails(), ses.sent) == ({ADA: "sending"}, [])


@pytest.mark.parametrize("left", range(1_000, int(1000 * (MAIL_SECONDS + END_SECONDS)), 1_000))
def test_a_mail_for_which_no_time_is_left_is_not_begun_and_not_unknown(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder, left: int
) -> None:
    with deps.budget.invocation(lambda: left), pytest.raises(MailsPendingError):
        send(deps)
    assert (mails(), ses.sent) == ({ADA: "pending", BOB: "pending"}, [])
    assert telemetry.counts == {}
    [ada, _] = [fields for _, text, fields in telemetry.lines if text.startswith("mail not begun")]
    assert ada["owner"] == ADA
    send(deps)
    assert mails() == {ADA: "sent", BOB: "sent"}


def takes_one_mail(connection: socket.socket, over: threading.Event) -> None:
    """Take a mail, keep the connection, and never respond on it again."""
    read_request(connection)
    body = b'{"MessageId": "id"}'
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    over.wait()


def test_a_kept_connection_to_ses_that_died_without_a_sign_costs_no_mail(
    deps: HealthDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with serve(takes_one_mail) as server:
        config = Config(read_timeout=0.5, retries={"total_max_attempts": 1})
        client = boto3.client("sesv2", endpoint_url=f"http://127.0.0.1:{server.port}", config=config)
        send(replace(deps, ses=client))
        client.close()
    assert mails() == {ADA: "sent", BOB: "sent"}


@pytest.mark.parametrize("impossible", ["jörg@acme.example", "ada@acme.example\u200b", "ada@-acme.example"])
def test_one_impossible_address_ends_as_refused_and_the_others_get_their_mail(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder, impossible: str
) -> None:
    entry().update(actions=[AuditEntry.mails.set({impossible: "pending", BOB: "pending"})])
    send(deps)
    assert mails() == {impossible: "refused", BOB: "sent"}
    assert telemetry.counts == {"MailUndeliverable": 1, "MailSent": 1}
    [line] = [fields for _, text, fields in telemetry.lines if text.startswith("mail refused for good")]
    assert line["owner"] == impossible


def test_an_address_that_ses_itself_calls_malformed_ends_as_refused(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder
) -> None:
    ses.fail = refusal(400, "BadRequestException")
    send(deps)
    assert mails() == {ADA: "refused", BOB: "refused"}
    assert telemetry.counts == {"MailUndeliverable": 2}


def test_a_refusal_by_ses_is_logged_with_the_owners_address(
    deps: HealthDependencies, ses: Ses, telemetry: Recorder
) -> None:
    ses.fail = refusal()
    with pytest.raises(MailsPendingError):
        send(deps)
    logged = telemetry.logged("mail refused by SES: it will be retried by the queue")
    assert [line["owner"] for line in logged] == [ADA, BOB]


def test_a_domain_with_an_umlaut_is_written_as_dns_knows_it(deps: HealthDependencies, ses: Ses) -> None:
    owner = "ada@münchen.example"
    entry().update(actions=[AuditEntry.mails.set({owner: "pending"})])
    send(deps)
    assert ses.recipients() == ["ada@xn--mnchen-3ya.example"]
    assert mails() == {owner: "sent"}


@pytest.mark.parametrize("told", ["Ada@ACME.example", "ada@acme.EXAMPLE"])
def test_a_bounce_that_names_the_owner_in_another_case_is_noted_in_the_entry(
    deps: HealthDependencies, told: str
) -> None:
    send(deps)
    mailer.record_event(MailEvent("Bounce", "Permanent", (told,), "pager", TRANSITION_ID), deps)
    assert mails() == {ADA: "bounced", BOB: "sent"}


def test_a_bounce_that_names_a_domain_as_dns_knows_it_is_noted_in_the_entry(deps: HealthDependencies) -> None:
    owner = "ada@münchen.example"
    entry().update(actions=[AuditEntry.mails.set({owner: "sent"})])
    recipients = ("ada@xn--mnchen-3ya.example",)
    mailer.record_event(MailEvent("Bounce", "Permanent", recipients, "pager", TRANSITION_ID), deps)
    assert mails() == {owner: "bounced"}


def test_a_bounce_that_is_not_for_good_leaves_the_mail_as_sent(deps: HealthDependencies) -> None:
    send(deps)
    mailer.record_event(MailEvent("Bounce", "Transient MailboxFull", (ADA,), "pager", TRANSITION_ID), deps)
    assert mails() == {ADA: "sent", BOB: "sent"}
