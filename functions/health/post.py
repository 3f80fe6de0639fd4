"""Sending an audit entry's mails: at most one for each owner, none silently lost.

SES has no idempotency token, so a send whose result is unknown may or may not have arrived. Each mail is
claimed in the audit entry before it is sent and marked after. A definite refusal goes back to pending and is
tried again with the message; an unknown result stays unknown, raises an alarm, and only a person resends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.operand import Path

from bellhop.registry import App, AuditEntry, Organization, find
from bellhop.tables import lost_condition
from bellhop.telemetry import Telemetry
from health.mail import Links, Mail, compose
from health.switch import PENDING

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SENDING, SENT, UNKNOWN = "sending", "sent", "unknown"


class MailRefusedError(Exception):
    """SES refused a mail for now; the transition's message must come back."""


@dataclass(frozen=True)
class Desk:
    """What the mailing works with. `ses` must not retry by itself."""

    ses: "SESV2Client"
    mail_from: str
    dashboard_url: str
    telemetry: Telemetry
    now: Callable[[], datetime]


def follow_up(app_id: str, entry_key: str, desk: Desk) -> None:
    """Do what is left to do after a transition. Safe to repeat.

    Raises:
        MailRefusedError: at least one owner is still to be mailed.
    """
    entry = find(AuditEntry, app_id, entry_key, consistent=True)
    if entry is None or entry.finished_at:
        desk.telemetry.info("transition already finished", app_id=app_id, entry=entry_key)
        return
    refused = [owner for owner in _owners(entry) if not _mail(owner, entry, desk)]
    if refused:
        raise MailRefusedError(f"{len(refused)} of the owners' mails were refused for now")
    entry.update(
        actions=[AuditEntry.finished_at.set(desk.now().isoformat(timespec="seconds"))],
        condition=AuditEntry.app_id.exists(),
    )


def _owners(entry: AuditEntry) -> list[str]:
    return sorted(entry.mails.attribute_values)


def _mail(owner: str, entry: AuditEntry, desk: Desk) -> bool:
    """See to one owner's mail; False when it was refused for now."""
    state = entry.mails[owner]
    if state == SENDING:
        # A worker died between claim and mark: the mail may have gone out.
        _mark(entry, owner, SENDING, UNKNOWN)
        _alarm(entry, owner, "a worker died while sending", desk)
    if state != PENDING or not _mark(entry, owner, PENDING, SENDING):
        return True
    mail = _compose(owner, entry, desk)
    if mail is None:
        return _mark(entry, owner, SENDING, "skipped")
    return _send(mail, entry, desk)


def _compose(owner: str, entry: AuditEntry, desk: Desk) -> Mail | None:
    app = find(App, entry.app_id)
    organization = find(Organization, entry.organization_id)
    if app is None or organization is None:
        desk.telemetry.warning("mail skipped: app or organisation is gone", **_names(entry))
        return None
    return compose(owner, entry, app, organization, Links(desk.dashboard_url, ""))


def _send(mail: Mail, entry: AuditEntry, desk: Desk) -> bool:
    try:
        message_id = _to_ses(mail, desk)
    except ClientError as error:
        if _definite(error):
            _mark(entry, mail.recipient, SENDING, PENDING)
            desk.telemetry.warning("mail refused for now", **_names(entry), reason=str(error))
            desk.telemetry.count("MailRefused")
            return False
        _unknown(mail, entry, desk, error)
    except BotoCoreError as error:  # no connection, no answer in time
        _unknown(mail, entry, desk, error)
    else:
        _mark(entry, mail.recipient, SENDING, SENT)
        desk.telemetry.info("mail sent", **_names(entry), message_id=message_id)
        desk.telemetry.count("MailSent")
    return True


def _to_ses(mail: Mail, desk: Desk) -> str:
    answer = desk.ses.send_email(
        FromEmailAddress=desk.mail_from,
        Destination={"ToAddresses": [mail.recipient]},
        Content={
            "Simple": {
                "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": mail.text, "Charset": "UTF-8"},
                    "Html": {"Data": mail.html, "Charset": "UTF-8"},
                },
            }
        },
    )
    return answer["MessageId"]


def _definite(error: ClientError) -> bool:
    # A 4xx is SES's own word that it took nothing; after a 5xx nobody knows.
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < 500  # noqa: PLR2004


def _unknown(mail: Mail, entry: AuditEntry, desk: Desk, error: Exception) -> None:
    _mark(entry, mail.recipient, SENDING, UNKNOWN)
    _alarm(entry, mail.recipient, str(error), desk)


def _alarm(entry: AuditEntry, owner: str, reason: str, desk: Desk) -> None:
    desk.telemetry.warning("mail result unknown, not sent again", **_names(entry), owner=owner, reason=reason)
    desk.telemetry.count("MailUnknown")


def _mark(entry: AuditEntry, owner: str, before: str, after: str) -> bool:
    mail: Path = Path(["mails", owner])
    try:
        entry.update(actions=[mail.set(after)], condition=mail == before)
    except UpdateError as error:
        if lost_condition(error):
            return False
        raise
    return True


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "entry": entry.entry}
