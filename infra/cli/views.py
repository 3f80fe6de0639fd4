"""What several commands read and show: apps, what can be replayed, counted days, failures, mails, secrets."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pynamodb.models import Model
from rich.console import Console

from bellhop import app_lists, registry
from bellhop.attempts import REPLAYABLE, DeliveryRecord
from bellhop.outcomes import COUNTERS
from bellhop.registry import KINDS, App, AuditEntry, Installation, find
from bellhop.secrets import ED25519, SigningSecret, public_key, signature_of
from bellhop.tables import UNREADABLE, UnreadableError
from bellhop.text import printable
from infra.cli import signing_secrets
from infra.cli.errors import say, unknown
from infra.cli.terminal import line, table
from infra.cli.text import stored_time

APPLY_MAKES_ONE = "`bellhop apply FILE` makes one, and stores its headers and oauth2 again"
COUNTED = 10_000  # replayable deliveries at most; of more it is said that there are at least so many
_PAGE = 1000

M = TypeVar("M", bound=Model)


def directory() -> list[App]:
    """Every app, by kind and name; only with the attributes that the index has."""
    return [app for kind in KINDS for app in registry.directory(kind)]


def load_app(app_id: str) -> App:
    """The app of that name.

    Raises:
        CommandError: there is none.
    """
    found = find(App, app_id, consistent=True)
    if found is None:
        raise unknown("app", app_id, [known.app_id for known in directory()], "bellhop apps")
    return found


def title(name_of: str, name: str) -> str:
    """What an app or an organisation is called: by its slug or id, and by its name where that is another."""
    return name_of if name == name_of else f"{name_of}: {name}"


def token_url_of(row: SigningSecret | None) -> str | None:
    """Where an app's access tokens are from; None without any."""
    return str(row.oauth2.get("token_url", "")) or None if row and row.oauth2 else None


def read_records(delivery_ids: Iterable[str]) -> list[DeliveryRecord]:
    """Those of these deliveries that have a record, in any order; without their bodies."""
    names = [name for name in DeliveryRecord.get_attributes() if name != DeliveryRecord.body.attr_name]
    # What else stands in the table, such as entries and large bodies, has such a sign in its key.
    return read_items(DeliveryRecord, [each for each in delivery_ids if "#" not in each], names)


def read_items(model: type[M], keys: Sequence[Any], names: list[str] | None = None) -> list[M]:
    """The items that there are of these keys, in any order; with these attributes, or all.

    One that is damaged is told of and left out, so that it hides no other.
    """
    try:
        return list(model.batch_get(keys, attributes_to_get=names))
    except UNREADABLE:
        return [found for key in keys for found in _read_alone(model, key, names)]


def _read_alone(model: type[M], key: Any, names: list[str] | None) -> list[M]:
    try:
        return list(model.batch_get([key], attributes_to_get=names))  # which needs no other right
    except UNREADABLE as error:
        say(f"warning: {printable(str(UnreadableError(model, key, error)))}; it is left out")
        return []


def organizations(app: App, installations: Iterable[Installation]) -> list[str]:
    """The organisations in which an app's outcomes are counted: where it is installed, and its own."""
    found = dict.fromkeys(installation.organization_id for installation in installations)
    return list(found | {app.organization_id: None} if app.organization_id else found)


@dataclass(frozen=True, slots=True)
class Replayable:
    """How many deliveries are parked, and how many exhausted; at least so many where it is not `complete`."""

    counts: Mapping[str, int]
    complete: bool

    def total(self, states: Iterable[str]) -> int:
        """How many are in one of these states, at least."""
        return sum(self.counts.get(state, 0) for state in states)

    def text(self, states: Iterable[str] = REPLAYABLE) -> str:
        """Such as "1,204 parked, 3 exhausted"."""
        parts = ", ".join(f"{self.total([s]):,} {s}" for s in states if self.total([s])) or "none"
        return parts if self.complete else f"at least {parts}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.counts, "complete": self.complete}


def count_replayable(app_id: str, most: int = COUNTED) -> Replayable:
    """Count what can be replayed of an app, up to `most`."""
    counts: Counter[str] = Counter()
    after, left = None, most
    while left:
        page = app_lists.replayable(app_id, after, min(_PAGE, left))
        counts.update(row.state for row in page)
        if not page:
            return Replayable(counts, complete=True)
        after, left = app_lists.cursor(page[-1]), left - len(page)
    return Replayable(counts, complete=False)


def print_days(rows: Iterable[tuple[str, str, Sequence[int]]], console: Console) -> None:
    """Print counted days, each an organisation, a UTC day and its counts in the order of COUNTERS."""
    cells = [(organization, day, *(f"{number:,}" for number in counts)) for organization, day, counts in rows]
    table(console, ("organisation", "day (UTC)", *COUNTERS), cells)


def counted_since_text(transition: AuditEntry | None) -> str:
    """Since when an app's failures and successes are counted, where that is not from the beginning."""
    if transition is None:
        return ""
    return f"Counted since {stored_time(transition.at)}: a switching off or on begins the counts anew."


def response_suffix(failure: Mapping[str, Any]) -> str:
    """What the endpoint responded, if anything; ends the line of a failure."""
    return f": {failure['response']}" if failure["response"] else ""


def warning_text(entry: AuditEntry) -> str:
    """What an early warning was about."""
    warning = entry.evidence.get("warning") or {}
    rule, reached, limit = entry.evidence.get("rule"), warning.get("reached", 0), warning.get("limit", 0)
    if not entry.mails.attribute_values and limit == 1:
        return f"{rule} broken, left on"
    return f"{rule} {reached:,} of {limit:,}"


def mail_states(entry: AuditEntry) -> dict[str, str]:
    """The state of each owner's mail."""
    return dict(sorted(entry.mails.attribute_values.items()))


def mails_text(entry: AuditEntry) -> str:
    """Each owner and the state of their mail, on a line."""
    return ", ".join(f"{owner} {state}" for owner, state in mail_states(entry).items())


def audit_document(entry: AuditEntry) -> dict[str, Any]:
    """An audit entry as JSON."""
    names = ("action", "actor", "at", "organization_id", "evidence", "announced_at", "finished_at")
    values = {name: getattr(entry, name) for name in names}
    return {"transition_id": entry.transition_id} | values | {"mails": mail_states(entry)}


_SCHEMES = {"classic": "classic header", "standard": "Standard Webhooks", "public_key": "Standard Webhooks"}


def secret_document(secret: str) -> dict[str, str]:
    """What a receiver verifies with, as JSON: the secret in the form of each scheme, or its public key."""
    if signature_of(secret) == ED25519:
        return {"public_key": public_key(secret)}
    return {"classic": secret, "standard": signing_secrets.standard_form(secret)}


def print_secret(app_id: str, secret: str, console: Console) -> None:
    """Print a new signing secret, the one time that it is shown; of a key pair only the public key."""
    shown = "which `bellhop app` shows again" if signature_of(secret) == ED25519 else "shown only this once"
    line(console, f"{verified_by(secret).capitalize()} of {app_id}, {shown}:", "bold")
    print_forms(secret, console)


def verified_by(secret: str) -> str:
    """What the forms of a secret are called."""
    return "public key" if signature_of(secret) == ED25519 else "signing secret"


def print_forms(secret: str, console: Console) -> None:
    """Print what a receiver verifies with, under the name of each scheme."""
    for name, text in secret_document(secret).items():
        line(console, f"    {_SCHEMES[name]:<17}  {text}", indent=4)
