"""A mail as text, and what became of each owner's."""

from collections.abc import Sequence

from rich.console import Console

from bellhop.registry import App, AuditEntry
from health.transitions import PENDING
from infra.console import mailing
from infra.console.mailing import SUPPRESSED, Shown
from infra.console.printing import line, table

_MEANINGS = {
    "pending": "to be sent",
    "sending": "being sent now, or its worker died and it will be unknown",
    "sent": "SES took it",
    "unknown": "SES did not say whether it took it; it may have arrived",
    "skipped": "not sent: app or organisation was gone, or a graver transition came first",
    "bounced": "it came back; SES sends nothing more to this address",
    "complained": "reported as spam; SES sends nothing more to this address",
    "rejected": "SES refused it after taking it",
}


def mail(shown: Shown, console: Console) -> None:
    """A mail, then the state of each owner's."""
    line(console, f"To: {shown.mail.recipient}")
    line(console, f"Subject: {shown.mail.subject}", "bold")
    for name, value in shown.mail.headers:
        line(console, f"{name}: {value}")
    line(console, "")
    for text in shown.mail.text.rstrip("\n").split("\n"):
        line(console, text)
    line(console, "")
    states(shown.entry, console)


def states(entry: AuditEntry, console: Console) -> None:
    """Each owner's mail."""
    line(console, f"Mails of {entry.transition_id} ({entry.action}, {entry.at}):", "bold")
    rows = [(owner, state, _MEANINGS.get(state, "")) for owner, state in mailing.states(entry).items()]
    table(console, ("owner", "state", "which means"), rows)


def mails(entry: AuditEntry) -> str:
    """Each owner and the state of their mail, on a line."""
    return ", ".join(f"{owner} {state}" for owner, state in mailing.states(entry).items())


def failed(entry: AuditEntry) -> bool:
    """Whether an owner may not have got their mail, and will not without a person."""
    return any(state in mailing.FAILED and state != PENDING for state in mailing.states(entry).values())


def suppressed(entry: AuditEntry, owners: Sequence[str], console: Console) -> None:
    """What is to be done first for addresses that SES sends nothing to."""
    for owner in owners:
        if mailing.states(entry)[owner] in SUPPRESSED:
            command = f"aws sesv2 delete-suppressed-destination --email-address {owner}"
            line(console, f"SES drops mail to {owner} until it is off its list: {command}", "yellow")


def resent(app: App, entry: AuditEntry, again: Sequence[str], console: Console) -> None:
    """What is sent again."""
    line(console, f"Health sends the mail again to: {', '.join(again) or 'nobody'}.", "bold")
    line(console, f"Next: bellhop mail show {app.app_id} '{entry.transition_id}'")
