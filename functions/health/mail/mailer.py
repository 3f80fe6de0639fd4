"""Sending an audit entry's mails: at most one for each owner, none silently lost.

SES has no idempotency token, so a send whose result is unknown may or may not have arrived. Each mail is
claimed in the audit entry before it is sent and marked after. A definite refusal goes back to pending and is
tried again with the message; an unknown result stays unknown, raises an alarm, and only a person resends it.

An address that bounced or complained is on SES's suppression list: SES takes a mail to it and does not send it.
What SES says of a mail after it took it comes back as an event and is noted in the entry and the log.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from pynamodb.expressions.operand import Path

from bellhop.registry import App, AuditEntry, Organization, find
from bellhop.tables import change
from bellhop.telemetry import Telemetry
from health.mail.content import Links, Mail, compose
from health.messages import MailEvent, tags
from health.transitions import PENDING

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SENDING, SENT, UNKNOWN, SKIPPED = "sending", "sent", "unknown", "skipped"
REFUSED_LATER = {"Bounce": "bounced", "Complaint": "complained", "Reject": "rejected"}


class MailRefusedError(Exception):
    """SES refused a mail for now; the transition's message must come back."""


@dataclass(frozen=True)
class MailDependencies:
    """What the mailing works with. `ses` must not retry by itself."""

    ses: "SESV2Client"
    mail_from: str
    configuration_set: str
    links: Links
    telemetry: Telemetry


def send_mails(entry: AuditEntry, deps: MailDependencies) -> None:
    """Send what is left to send of an entry's mails. Its caller holds the entry's lease.

    Raises:
        MailRefusedError: at least one owner is still to be mailed.
    """
    if not _owners(entry) and entry.organization_id:
        deps.telemetry.info("nobody is to be mailed", **_names(entry))
    refused = [owner for owner in _owners(entry) if not _mail(owner, entry, deps)]
    if refused:
        raise MailRefusedError(f"{len(refused)} of the owners' mails were refused for now")


def skip_mails(entry: AuditEntry) -> None:
    """Let what is not sent of an entry's mails never be."""
    for owner in _owners(entry):
        _mark(entry, owner, PENDING, SKIPPED)


def resend(app_id: str, entry_key: str, owner: str, now: float) -> bool:
    """Let an owner's mail be sent once more; False when there is none, or a worker is at it for now.

    `now` is in Unix seconds. Whoever calls this then sends the entry's FollowUp.
    """
    mail: Path = Path(["mails", owner])
    row = AuditEntry
    actions = [mail.set(PENDING), row.finished_at.remove(), row.done.delete({"mail"})]
    free = row.lease_until.does_not_exist() | (row.lease_until < now)
    return change(row(app_id, entry_key), actions, mail.exists() & free)


def note(event: MailEvent, deps: MailDependencies) -> None:
    """Note what SES said of a mail that it had taken."""
    if event.kind == "Bounce" and not event.detail.startswith("Permanent"):
        # A full mailbox, an answer from a holiday: the mail may have arrived, and the address stays good.
        deps.telemetry.info("mail bounced for now", app_id=event.app_id, entry=event.entry, reason=event.detail)
        return
    entry = find(AuditEntry, event.app_id, event.entry, consistent=True)
    state = REFUSED_LATER[event.kind]
    for owner in event.recipients:
        if entry and owner in entry.mails:
            _set(entry, owner, state)
        names = {"app_id": event.app_id, "entry": event.entry, "owner": owner}
        means = "SES did not send it" if event.kind == "Reject" else "this address gets no more mail"
        deps.telemetry.warning(f"mail {state}: {means}", **names, reason=event.detail)
        deps.telemetry.count("MailBounced")


def _owners(entry: AuditEntry) -> list[str]:
    return sorted(entry.mails.attribute_values)


def _mail(owner: str, entry: AuditEntry, deps: MailDependencies) -> bool:
    """See to one owner's mail; False when it was refused for now."""
    state = entry.mails[owner]
    if state == SENDING:
        # A worker died between claim and mark: the mail may have gone out.
        _mark(entry, owner, SENDING, UNKNOWN)
        _alarm(entry, owner, "a worker died while sending", deps)
    if state != PENDING:
        return True
    mail = _compose(owner, entry, deps)  # before the claim: when this fails, it is known that nothing was sent
    if mail is None:
        return _mark(entry, owner, PENDING, SKIPPED)
    # Nobody else has the entry: a claim that is refused is ours, its answer lost. It comes back, to be alarmed.
    return _mark(entry, owner, PENDING, SENDING) and _send(mail, entry, deps)


def _compose(owner: str, entry: AuditEntry, deps: MailDependencies) -> Mail | None:
    app = find(App, entry.app_id)
    organization = find(Organization, entry.organization_id)
    if app is None or organization is None:
        deps.telemetry.warning("mail skipped: app or organisation is gone", **_names(entry))
        return None
    return compose(owner, entry, app, organization, deps.links)


def _send(mail: Mail, entry: AuditEntry, deps: MailDependencies) -> bool:
    try:
        message_id = _to_ses(mail, entry, deps)
    except (ClientError, BotoCoreError) as error:
        return _failed(mail, entry, error, deps)
    _mark(entry, mail.recipient, SENDING, SENT)
    deps.telemetry.info("mail sent", **_names(entry), message_id=message_id)
    deps.telemetry.count("MailSent")
    return True


def _failed(mail: Mail, entry: AuditEntry, error: Exception, deps: MailDependencies) -> bool:
    if not _definite(error):
        _mark(entry, mail.recipient, SENDING, UNKNOWN)
        _alarm(entry, mail.recipient, str(error), deps)
        return True
    _mark(entry, mail.recipient, SENDING, PENDING)
    deps.telemetry.warning("mail refused for now", **_names(entry), reason=str(error))
    deps.telemetry.count("MailRefused")
    return False


def _to_ses(mail: Mail, entry: AuditEntry, deps: MailDependencies) -> str:
    response = deps.ses.send_email(
        FromEmailAddress=deps.mail_from,
        Destination={"ToAddresses": [mail.recipient]},
        ConfigurationSetName=deps.configuration_set,
        EmailTags=[{"Name": name, "Value": value} for name, value in tags(entry.app_id, entry.entry).items()],
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": mail.text, "Charset": "UTF-8"},
                    "Html": {"Data": mail.html, "Charset": "UTF-8"},
                },
                "Headers": [{"Name": name, "Value": value} for name, value in mail.headers],
            }
        },
    )
    return response["MessageId"]


def _definite(error: Exception) -> bool:
    # A 4xx is SES's own word that it took nothing, and without a connection it was never asked. After a 5xx, or
    # a connection that ended without a response, nobody knows.
    if isinstance(error, ClientError):
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < 500  # noqa: PLR2004
    return isinstance(error, ConnectTimeoutError | EndpointConnectionError)


def _alarm(entry: AuditEntry, owner: str, reason: str, deps: MailDependencies) -> None:
    deps.telemetry.warning("mail result unknown, not sent again", **_names(entry), owner=owner, reason=reason)
    deps.telemetry.count("MailUnknown")


def _mark(entry: AuditEntry, owner: str, before: str, after: str) -> bool:
    mail: Path = Path(["mails", owner])
    return change(entry, [mail.set(after)], mail == before)


def _set(entry: AuditEntry, owner: str, state: str) -> None:
    mail: Path = Path(["mails", owner])
    entry.update(actions=[mail.set(state)], condition=mail.exists())


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "entry": entry.entry}
