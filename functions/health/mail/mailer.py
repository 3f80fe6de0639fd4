"""Sending the mails of a transition: at most one to each owner, and none lost without an alarm.

SES has no idempotency token, so a send whose result is unknown may have arrived or not. Each mail is claimed in
the audit entry before it is sent, and its result is recorded afterwards. What SES refused goes back to pending and
is sent again when the message comes back. An unknown result stays unknown and raises an alarm; only a person
resends it.

An address that bounced or complained is on SES's suppression list: SES accepts a mail to it and does not send it.
What SES reports about a mail after accepting it comes back as an event, which is recorded in the entry and logged.
"""

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from pynamodb.expressions.operand import Path

from bellhop.budget import OutOfBudgetError
from bellhop.registry import FOLLOW_UP_LEASE, App, AuditEntry, Organization, find
from bellhop.tables import change
from health.dependencies import HealthDependencies
from health.mail.content import Mail, compose
from health.messages import MailEvent, tags
from health.transitions import PENDING

SENDING, SENT, UNKNOWN, SKIPPED = "sending", "sent", "unknown", "skipped"
REFUSED_LATER = {"Bounce": "bounced", "Complaint": "complained", "Reject": "rejected"}


class MailRefusedError(Exception):
    """SES refused a mail; the transition's message must come back, so that it is sent again."""


def send_mails(entry: AuditEntry, deps: HealthDependencies) -> None:
    """Send those of an entry's mails that are not sent yet. The caller has the entry's lease.

    Raises:
        MailRefusedError: SES refused at least one owner's mail.
    """
    if not _owners(entry) and entry.organization_id:
        deps.telemetry.info("no mail sent: the transition has no owners to tell", **_names(entry))
    refused = [owner for owner in _owners(entry) if not _mail_owner(owner, entry, deps)]
    if refused:
        raise MailRefusedError(f"SES refused the mails to {len(refused)} of the owners")


def skip_mails(entry: AuditEntry) -> None:
    """Give up those of an entry's mails that are not sent yet."""
    for owner in _owners(entry):
        _change_state(entry, owner, PENDING, SKIPPED)


def resend(app_id: str, transition_id: str, owner: str, now: float) -> bool:
    """Let an owner's mail be sent once more; False if there is none, or a worker has the entry's lease.

    `now` is in Unix seconds. The caller then sends a FollowUp for the entry.
    """
    mail: Path = Path(["mails", owner])
    actions = [mail.set(PENDING), AuditEntry.finished_at.remove(), AuditEntry.done.delete({"mail"})]
    return change(AuditEntry(app_id, transition_id), actions, mail.exists() & FOLLOW_UP_LEASE.free(now))


def record_event(event: MailEvent, deps: HealthDependencies) -> None:
    """Record what SES reports about a mail that it had accepted."""
    names = {"app_id": event.app_id, "transition_id": event.transition_id, "reason": event.detail}
    if event.kind == "Bounce" and not event.detail.startswith("Permanent"):
        # A full mailbox, an out-of-office reply: the mail may have arrived, and the address stays usable.
        deps.telemetry.info("mail bounced temporarily: it still counts as sent", **names)
        return
    entry = find(AuditEntry, event.app_id, event.transition_id, consistent=True)
    state = REFUSED_LATER[event.kind]
    effect = "SES did not send it" if event.kind == "Reject" else "SES sends no more mail to this address"
    for owner in event.recipients:
        if entry and owner in entry.mails:
            mail: Path = Path(["mails", owner])
            entry.update(actions=[mail.set(state)], condition=mail.exists())
        deps.telemetry.warning(f"mail {state}: {effect}", **names, owner=owner)
        deps.telemetry.count("MailBounced")


def _owners(entry: AuditEntry) -> list[str]:
    return sorted(entry.mails.attribute_values)


def _mail_owner(owner: str, entry: AuditEntry, deps: HealthDependencies) -> bool:
    """Bring one owner's mail to its end; False when SES refused it."""
    state = entry.mails[owner]
    if state == SENDING:
        # A worker died after the claim: the mail may have gone out.
        _change_state(entry, owner, SENDING, UNKNOWN)
        _report_unknown(entry, owner, "a worker died while sending", deps)
    if state != PENDING:
        return True
    mail = _compose(owner, entry, deps)  # before the claim: if this fails, it is certain that nothing was sent
    if mail is None:
        return _change_state(entry, owner, PENDING, SKIPPED)
    # Nobody else has the entry, so a claim that fails is our own whose response was lost. The message comes back,
    # finds the mail in SENDING, and reports it.
    return _change_state(entry, owner, PENDING, SENDING) and _send(mail, entry, deps)


def _compose(owner: str, entry: AuditEntry, deps: HealthDependencies) -> Mail | None:
    app = find(App, entry.app_id)
    organization = find(Organization, entry.organization_id)
    if app is None or organization is None:
        deps.telemetry.warning("mail skipped: the app or its organisation was deleted", **_names(entry))
        return None
    return compose(owner, entry, app, organization, deps.links)


def _send(mail: Mail, entry: AuditEntry, deps: HealthDependencies) -> bool:
    try:
        message_id = _call_ses(mail, entry, deps)
    except (ClientError, BotoCoreError, OutOfBudgetError) as error:
        return _handle_failure(mail, entry, error, deps)
    _change_state(entry, mail.recipient, SENDING, SENT)
    deps.telemetry.info("mail sent", **_names(entry), message_id=message_id)
    deps.telemetry.count("MailSent")
    return True


def _handle_failure(mail: Mail, entry: AuditEntry, error: Exception, deps: HealthDependencies) -> bool:
    if not _nothing_was_sent(error):
        _change_state(entry, mail.recipient, SENDING, UNKNOWN)
        _report_unknown(entry, mail.recipient, str(error), deps)
        return True
    _change_state(entry, mail.recipient, SENDING, PENDING)
    deps.telemetry.warning(
        "mail refused by SES: it will be retried by the queue", **_names(entry), reason=str(error)
    )
    deps.telemetry.count("MailRefused")
    return False


def _call_ses(mail: Mail, entry: AuditEntry, deps: HealthDependencies) -> str:
    carried = tags(entry.app_id, entry.transition_id)
    response = deps.ses.send_email(
        FromEmailAddress=deps.mail_from,
        Destination={"ToAddresses": [mail.recipient]},
        ConfigurationSetName=deps.mail_configuration_set,
        EmailTags=[{"Name": name, "Value": value} for name, value in carried.items()],
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


def _nothing_was_sent(error: Exception) -> bool:
    # With a 4xx SES itself says that it took nothing, and without a connection it never got the request. After a
    # 5xx, or a connection that ended without a response, nobody knows.
    if isinstance(error, ClientError):
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"]) < 500  # noqa: PLR2004
    return isinstance(error, ConnectTimeoutError | EndpointConnectionError | OutOfBudgetError)


def _report_unknown(entry: AuditEntry, owner: str, reason: str, deps: HealthDependencies) -> None:
    deps.telemetry.warning(
        "mail result unknown: it is sent again only by `bellhop mail resend`",
        **_names(entry),
        owner=owner,
        reason=reason,
    )
    deps.telemetry.count("MailUnknown")


def _change_state(entry: AuditEntry, owner: str, before: str, after: str) -> bool:
    mail: Path = Path(["mails", owner])
    return change(entry, [mail.set(after)], mail == before)


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "transition_id": entry.transition_id}
