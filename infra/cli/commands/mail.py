"""bellhop mail: an audit entry's mails, shown as the owners get them, and sent once more."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console

from bellhop.registry import App, AuditEntry, Organization, find
from bellhop.text import printable
from health import transitions
from health.mail import mailer
from health.mail.content import Mail, compose
from health.mail.links import Links
from health.mail.mailer import REFUSED, REFUSED_LATER, SENDING, SKIPPED, UNKNOWN
from health.messages import FollowUp
from health.transitions import PENDING
from infra.cli import identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.identity import TransitionsQueue
from infra.cli.terminal import line, table
from infra.cli.views import load_app, mail_states

# What an owner may not have got. A pending mail is sent by itself, unless its message is a dead letter.
UNDELIVERED = (PENDING, UNKNOWN, REFUSED, SKIPPED, *REFUSED_LATER.values())
SUPPRESSED = ("bounced", "complained")  # SES takes a mail to such an address and does not send it

_NEWEST = 50  # audit entries that are searched for mails
_MEANINGS = {
    "pending": "to be sent",
    "sending": "being sent now; if its worker died, it will be unknown",
    "sent": "SES took it",
    "unknown": "SES did not say whether it took it; it may have arrived",
    "refused": "SES takes no mail to this address; mend it in the registry file",
    "skipped": "not sent: app or organisation was gone, or a graver transition came first",
    "bounced": "it came back; SES sends nothing more to this address",
    "complained": "reported as spam; SES sends nothing more to this address",
    "rejected": "SES refused it after taking it",
}


@dataclass(frozen=True, slots=True)
class ComposedMail:
    """A mail as it is composed now, and the audit entry that it is about."""

    entry: AuditEntry
    mail: Mail


def show(stack_name: str, app_id: str, key: str | None, *, to: str | None, html: bool, as_json: bool) -> None:
    """Print a mail as its owner gets it."""
    found = stack.find(stack_name)
    stack.bind(found)
    composed = compose_mail(load_app(app_id), key, to, found.links)
    if as_json:
        terminal.print_json(document(composed))
    elif html:
        lines = composed.mail.html.split("\n")  # a terminal gets nothing that could command it
        typer.echo("\n".join(map(printable, lines)) if sys.stdout.isatty() else composed.mail.html)
    else:
        _print_mail(composed, terminal.console())


def resend(stack_name: str, app_id: str, key: str | None, *, to: str | None, yes: bool, as_json: bool) -> None:
    """Ask, have health send mails once more."""
    found = stack.find(stack_name)
    stack.bind(found)
    app = load_app(app_id)
    entry = find_entry(app, key)
    owners = owners_to_resend(app, entry, to)
    console = terminal.console()
    if not as_json:
        _print_states(entry, console)
        _print_suppressed(entry, owners, console)
    if not yes:
        question = f"Send the mail again to {', '.join(map(printable, owners))}?"
        terminal.confirm(question, "nothing is sent yet: add --yes to send again", as_json=as_json)
    resent = resend_mails(entry, owners, identity.transitions_queue(found), datetime.now(UTC))
    if as_json:
        terminal.print_json({"app_id": app_id, "transition_id": entry.transition_id, "resent": resent})
    else:
        line(console, f"Health sends the mail again to: {', '.join(resent) or 'nobody'}.", "bold")
        line(console, found.next(f"mail show {app.app_id} '{entry.transition_id}'"))


def find_entry(app: App, key: str | None) -> AuditEntry:
    """The audit entry of that key; without one, the newest that has mails.

    Raises:
        CommandError: there is none, or it has no mails.
    """
    found = find(AuditEntry, app.app_id, key, consistent=True) if key else _newest_with_mails(app)
    if found is None and key:
        raise CommandError(f"{app.app_id} has no audit entry {key!r}: `bellhop app {app.app_id}` lists them")
    if found is None:
        raise CommandError(f"no mail was ever sent about {app.app_id}: `bellhop app {app.app_id}` has its audit")
    if not mail_states(found):
        raise CommandError(
            f"{found.transition_id} of {app.app_id} mailed nobody: "
            "there were no owners, or owners are not told of it"
        )
    return found


def compose_mail(app: App, key: str | None, to: str | None, links: Links) -> ComposedMail:
    """The mail of an entry to one of its owners, the first without `to`. Raises like `find_entry`."""
    entry = find_entry(app, key)
    owner = _named_owner(entry, to)[0] if to else next(iter(mail_states(entry)))
    organization = find(Organization, entry.organization_id, consistent=True)
    if organization is None:
        raise CommandError(
            f"its organisation {entry.organization_id!r} is not registered any more: it gets no mail"
        )
    return ComposedMail(entry, compose(owner, entry, app, organization, links))


def owners_to_resend(app: App, entry: AuditEntry, to: str | None) -> Sequence[str]:
    """The owners whose mail is to be sent once more: `to`, or everybody who may not have got theirs.

    Raises:
        CommandError: there is none, it is being sent, or it would not be true any more.
    """
    states = mail_states(entry)
    if entry.action == transitions.WARN.action and not entry.transition_id.startswith(
        transitions.warning_prefix(int(app.generation))
    ):
        raise CommandError(
            f"{entry.transition_id} is a warning that a later transition overtook: it is not sent any more"
        )
    if to:
        owners = _named_owner(entry, to)
        if states[to] == SENDING:
            raise CommandError(f"the mail to {to} is being sent just now: try again in some minutes")
        return owners
    undelivered = [owner for owner, state in states.items() if state in UNDELIVERED]
    if not undelivered:
        listed = ", ".join(f"{owner} {state}" for owner, state in states.items())
        raise CommandError(
            f"no mail of {entry.transition_id} failed ({listed}): name one with --to to send it again"
        )
    return undelivered


def resend_mails(entry: AuditEntry, owners: Sequence[str], queue: TransitionsQueue, now: datetime) -> list[str]:
    """Have health send those owners' mails; return the owners it sends to. After a crash half-way, repeat it."""
    resent = [
        owner for owner in owners if mailer.resend(entry.app_id, entry.transition_id, owner, now.timestamp())
    ]
    queue.send(FollowUp(entry.app_id, entry.transition_id))
    return resent


def needs_resending(entry: AuditEntry) -> bool:
    """Whether an owner may not have got their mail, and will not unless a person has it resent."""
    return any(state in UNDELIVERED and state != PENDING for state in mail_states(entry).values())


def document(composed: ComposedMail) -> dict[str, Any]:
    """A mail and what became of it, as JSON."""
    entry = composed.entry
    return {
        "app_id": entry.app_id,
        "transition_id": entry.transition_id,
        "mails": mail_states(entry),
        "mail": asdict(composed.mail),
    }


def _newest_with_mails(app: App) -> AuditEntry | None:
    newest = AuditEntry.query(app.app_id, scan_index_forward=False, limit=_NEWEST, consistent_read=True)
    return max((entry for entry in newest if mail_states(entry)), key=lambda entry: entry.at, default=None)


def _named_owner(entry: AuditEntry, to: str) -> list[str]:
    owners = mail_states(entry)
    if to not in owners:
        raise CommandError(f"{to!r} is none of the owners that {entry.transition_id} tells: {', '.join(owners)}")
    return [to]


def _print_mail(composed: ComposedMail, console: Console) -> None:
    mail = composed.mail
    line(console, f"To: {mail.recipient}")
    line(console, f"Subject: {mail.subject}", "bold")
    for name, value in mail.headers:
        line(console, f"{name}: {value}")
    for text in ("", *mail.text.rstrip("\n").split("\n"), ""):
        line(console, text)
    _print_states(composed.entry, console)


def _print_states(entry: AuditEntry, console: Console) -> None:
    line(console, f"Mails of {entry.transition_id} ({entry.action}, {entry.at}):", "bold")
    rows = [(owner, state, _MEANINGS.get(state, "")) for owner, state in mail_states(entry).items()]
    table(console, ("owner", "state", "which means"), rows)


def _print_suppressed(entry: AuditEntry, owners: Sequence[str], console: Console) -> None:
    """What to do first for addresses to which SES sends nothing."""
    for owner in owners:
        if mail_states(entry)[owner] in SUPPRESSED:
            command = f"aws sesv2 delete-suppressed-destination --email-address {owner}"
            line(console, f"SES drops mail to {owner} until it is off its list: {command}", "yellow")
