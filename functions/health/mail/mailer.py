"""Sending the mails of a transition: at most one to each owner, and none lost without an alarm.

SES has no idempotency token, so a send whose result is unknown may have arrived or not. Each mail is claimed in
the audit entry before it is sent, and its result is recorded afterwards. What SES refused goes back to pending and
is sent again when the message comes back. An unknown result stays unknown and raises an alarm; only a person
resends it.

So that a result is unknown only where SES was asked, no mail is begun for which there may not be time, a claim is
known again by the lease under which it was made, and each mail has a connection of its own: one that was kept may
have died without a sign, and then the mail would be lost on it.

A mail that SES will never take, because of its address, ends as refused: the other owners get theirs, and an alarm
tells an operator.

An address that bounced or complained is on SES's suppression list: SES accepts a mail to it and does not send it.
What SES reports about a mail after accepting it comes back as an event, which is recorded in the entry and logged.
"""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
)
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.operand import Path

from bellhop import aws
from bellhop.budget import OutOfBudgetError
from bellhop.registry import FOLLOW_UP_LEASE, App, AuditEntry, Organization, find
from bellhop.tables import change
from health.dependencies import SES_READ_SECONDS, HealthDependencies
from health.mail import address
from health.mail.address import AddressError
from health.mail.content import Mail, compose
from health.messages import MailEvent, tags
from health.transitions import PENDING

SENDING, SENT, UNKNOWN, REFUSED, SKIPPED = "sending", "sent", "unknown", "refused", "skipped"
REFUSED_LATER = {"Bounce": "bounced", "Complaint": "complained", "Reject": "rejected"}


MARK_SECONDS = aws.TRY_SECONDS  # kept while SES is asked, to record what it said
MAIL_SECONDS = aws.TRY_SECONDS + aws.CONNECT_SECONDS + SES_READ_SECONDS + MARK_SECONDS  # from the claim on

_NOT_CONNECTED = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, OutOfBudgetError)


class MailsPendingError(Exception):
    """Not all mails could be sent; the transition's message must come back, so that they are."""


def send_mails(entry: AuditEntry, deps: HealthDependencies) -> None:
    """Send those of an entry's mails that are not sent yet. The caller has the entry's lease.

    Raises:
        MailsPendingError: SES refused at least one owner's mail for now, or no time was left to begin it.
    """
    if not _owners(entry) and entry.organization_id:
        deps.telemetry.info("no mail sent: the transition has no owners to tell", **_names(entry))
    pending = [owner for owner in _owners(entry) if not _mail_owner(owner, entry, deps)]
    if pending:
        raise MailsPendingError(f"the mails to {len(pending)} of the owners are still to be sent")


def skip_mails(entry: AuditEntry, deps: HealthDependencies) -> None:
    """Give up those of an entry's mails that are not sent yet. The caller has the entry's lease."""
    for owner in _owners(entry):
        _end_if_sending(owner, entry, deps)
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
    for recipient in event.recipients:
        for owner in _owners(entry) if entry else ():
            if address.same(owner, recipient):  # servers on the way may have changed how it is written
                mail: Path = Path(["mails", owner])
                change(AuditEntry(event.app_id, event.transition_id), [mail.set(state)], mail.exists())
        deps.telemetry.warning(f"mail {state}: {effect}", **names, owner=recipient)
        deps.telemetry.count("MailBounced")


def _owners(entry: AuditEntry) -> list[str]:
    return sorted(entry.mails.attribute_values)


def _mail_owner(owner: str, entry: AuditEntry, deps: HealthDependencies) -> bool:
    """Bring one owner's mail to its end; False when it is still to be sent."""
    _end_if_sending(owner, entry, deps)
    if entry.mails[owner] != PENDING:
        return True
    mail = _compose(owner, entry, deps)  # before the claim: if this fails, it is certain that nothing was sent
    if mail is None:
        _change_state(entry, owner, PENDING, SKIPPED)
        return True
    try:
        recipient = address.encode(owner)
    except AddressError as error:  # registered before `bellhop apply` refused such addresses
        _end_as_refused(entry, owner, PENDING, f"it {error}", deps)
        return True
    if not deps.budget.fits(MAIL_SECONDS):
        deps.telemetry.warning(
            "mail not begun: too little time is left; it will be sent when the queue brings the message back",
            **_names(entry),
            owner=owner,
        )
        return False
    return _claim(entry, owner) and _send(mail, recipient, entry, deps)


def _end_if_sending(owner: str, entry: AuditEntry, deps: HealthDependencies) -> None:
    """Record what nobody knows: whether a worker that died while it sent a mail sent it."""
    if entry.mails[owner] == SENDING:
        _end_as_unknown(entry, owner, "a worker died while sending", deps)


def _claim(entry: AuditEntry, owner: str) -> bool:
    """Claim a mail that was pending when this worker took the entry's lease; False when the lease was lost.

    Under that lease only this worker claims. So a mail in SENDING is its own claim, whose response was lost.
    """
    mail: Path = Path(["mails", owner])
    ours = (AuditEntry.lease_holder == entry.lease_holder) & ((mail == PENDING) | (mail == SENDING))
    try:
        return change(entry, [mail.set(SENDING)], ours)
    except (UpdateError, OutOfBudgetError):
        # Perhaps it was claimed. The next worker would have to believe that the mail may have gone out.
        _give_back(entry, owner)
        raise


def _give_back(entry: AuditEntry, owner: str) -> None:
    """Have a claimed mail be sent again; not where the lease was lost, as the claim may be another worker's."""
    mail: Path = Path(["mails", owner])
    change(entry, [mail.set(PENDING)], (AuditEntry.lease_holder == entry.lease_holder) & (mail == SENDING))


def _compose(owner: str, entry: AuditEntry, deps: HealthDependencies) -> Mail | None:
    app = find(App, entry.app_id)
    organization = find(Organization, entry.organization_id)
    if app is None or organization is None:
        deps.telemetry.warning("mail skipped: the app or its organisation was deleted", **_names(entry))
        return None
    return compose(owner, entry, app, organization, deps.links)


def _send(mail: Mail, recipient: str, entry: AuditEntry, deps: HealthDependencies) -> bool:
    try:
        with deps.budget.keeping(MARK_SECONDS):
            message_id = _call_ses(mail, recipient, entry, deps)
    except (ClientError, BotoCoreError, OutOfBudgetError) as error:
        return _handle_failure(mail.recipient, entry, error, deps)
    # Before the state, so that the log knows it of a mail whose state could not be written.
    deps.telemetry.info("mail sent", **_names(entry), owner=mail.recipient, message_id=message_id)
    deps.telemetry.count("MailSent")
    _change_state(entry, mail.recipient, SENDING, SENT)
    return True


def _handle_failure(owner: str, entry: AuditEntry, error: Exception, deps: HealthDependencies) -> bool:
    """Record what a failed send means; False when the mail is to be sent again."""
    if not _nothing_was_sent(error):
        _end_as_unknown(entry, owner, str(error), deps)
        return True
    if _is_final(error):
        _end_as_refused(entry, owner, SENDING, str(error), deps)
        return True
    _give_back(entry, owner)
    deps.telemetry.warning(
        "mail refused by SES: it will be retried by the queue", **_names(entry), owner=owner, reason=str(error)
    )
    deps.telemetry.count("MailRefused")
    return False


def _call_ses(mail: Mail, recipient: str, entry: AuditEntry, deps: HealthDependencies) -> str:
    carried = tags(entry.app_id, entry.transition_id)
    deps.ses.close()  # its idle connections; the next call makes a new one
    response = deps.ses.send_email(
        FromEmailAddress=deps.mail_from,
        Destination={"ToAddresses": [recipient]},
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
    return isinstance(error, _NOT_CONNECTED)


def _is_final(error: Exception) -> bool:
    # Policy: a request that SES calls malformed stays so, however often it is made. What an operator can mend
    # while the message waits (the sandbox, an identity, a limit) has other names and is sent again.
    # https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "BadRequestException"


def _end_as_refused(entry: AuditEntry, owner: str, before: str, reason: str, deps: HealthDependencies) -> None:
    # Reported first: a worker that dies in between then reports it twice; in the other order, perhaps never.
    deps.telemetry.warning(
        "mail refused for good: this owner gets none until an operator mends the address; the others get theirs",
        **_names(entry),
        owner=owner,
        reason=reason,
    )
    deps.telemetry.count("MailUndeliverable")
    _change_state(entry, owner, before, REFUSED)


def _end_as_unknown(entry: AuditEntry, owner: str, reason: str, deps: HealthDependencies) -> None:
    # Reported first, as above.
    deps.telemetry.warning(
        "mail result unknown: it is sent again only by `bellhop mail resend`",
        **_names(entry),
        owner=owner,
        reason=reason,
    )
    deps.telemetry.count("MailUnknown")
    _change_state(entry, owner, SENDING, UNKNOWN)


def _change_state(entry: AuditEntry, owner: str, before: str, after: str) -> bool:
    mail: Path = Path(["mails", owner])
    return change(entry, [mail.set(after)], mail == before)


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "transition_id": entry.transition_id}
