"""An audit entry's mails: shown as the owners get them, and sent again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bellhop.registry import App, AuditEntry, Organization, find
from health import transitions
from health.mail import mailer
from health.mail.content import Links, Mail, compose
from health.mail.mailer import REFUSED_LATER, SENDING, SKIPPED, UNKNOWN
from health.messages import FollowUp
from health.transitions import PENDING
from infra.console.errors import ConsoleError

# What its owner may not have got. What is pending comes by itself, unless its message ended as a dead letter.
FAILED = (PENDING, UNKNOWN, SKIPPED, *REFUSED_LATER.values())
SUPPRESSED = ("bounced", "complained")  # SES takes a mail to such an address and does not send it
_NEWEST = 50  # audit entries that are looked through for mails


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail as it is composed now, and what became of each owner's."""

    entry: AuditEntry
    mail: Mail


def entry(app: App, key: str | None) -> AuditEntry:
    """The audit entry of that key; without one, the newest that has mails.

    Raises:
        ConsoleError: there is none, or it has no mails.
    """
    if key is not None:
        found = find(AuditEntry, app.app_id, key, consistent=True)
        if found is None:
            raise ConsoleError(f"{app.app_id} has no audit entry {key!r}: `bellhop app {app.app_id}` lists them")
    else:
        newest = AuditEntry.query(app.app_id, scan_index_forward=False, limit=_NEWEST, consistent_read=True)
        found = max((e for e in newest if states(e)), key=lambda e: e.at, default=None)
        if found is None:
            raise ConsoleError(
                f"no mail was ever sent about {app.app_id}: `bellhop app {app.app_id}` has its audit"
            )
    if not states(found):
        raise ConsoleError(
            f"{found.transition_id} of {app.app_id} mailed nobody: there were no owners to tell, "
            "or it is not told to them"
        )
    return found


def states(entry: AuditEntry) -> dict[str, str]:
    """The state of each owner's mail."""
    return dict(sorted(entry.mails.attribute_values.items()))


def show(app: App, key: str | None, to: str | None, links: Links) -> Shown:
    """The mail of an entry to one of its owners, the first without `to`. Raises like `entry`."""
    found = entry(app, key)
    owner = _addressed(found, to)[0] if to else next(iter(states(found)))
    organization = find(Organization, found.organization_id, consistent=True)
    if organization is None:
        raise ConsoleError(
            f"its organisation {found.organization_id!r} is not registered any more: it gets no mail"
        )
    return Shown(found, compose(owner, found, app, organization, links))


def chosen(app: App, entry: AuditEntry, to: str | None) -> Sequence[str]:
    """The owners whose mail is to be sent again: `to`, or all whose mail failed.

    Raises:
        ConsoleError: there is none, it is being sent, or it would not be true any more.
    """
    known = states(entry)
    current = entry.transition_id.startswith(transitions.warning_prefix(app))
    if entry.action == transitions.WARN.action and not current:
        raise ConsoleError(
            f"{entry.transition_id} is a warning that a later transition overtook: it is not sent any more"
        )
    if to:
        owners = _addressed(entry, to)
        if known[to] == SENDING:
            raise ConsoleError(f"the mail to {to} is being sent just now: look again in some minutes")
        return owners
    failed = [owner for owner, state in known.items() if state in FAILED]
    if not failed:
        listed = ", ".join(f"{owner} {state}" for owner, state in known.items())
        raise ConsoleError(
            f"no mail of {entry.transition_id} failed ({listed}): name one with --to to send it again"
        )
    return failed


def resend(
    entry: AuditEntry, owners: Sequence[str], announce: Callable[[FollowUp], None], now: datetime
) -> list[str]:
    """Let health send those owners' mails; returns those that it will. A crash half-way is mended by repeating."""
    again = [owner for owner in owners if mailer.resend(entry.app_id, entry.transition_id, owner, now.timestamp())]
    announce(FollowUp(entry.app_id, entry.transition_id))
    return again


def _addressed(entry: AuditEntry, to: str) -> list[str]:
    if to not in states(entry):
        told = ", ".join(states(entry))
        raise ConsoleError(f"{to!r} is none of the owners that {entry.transition_id} tells: {told}")
    return [to]
