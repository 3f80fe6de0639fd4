"""bellhop delete: take an app or an organisation out of the registry, for good."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console

from bellhop import outcomes
from bellhop.attempts import KEPT, PARKED, RETRYING
from bellhop.clock import utc_now
from bellhop.registry import AuditEntry, Installation
from bellhop.text import printable
from health.mail.wording import counted
from infra.cli import identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.registry import deleting
from infra.cli.registry.deleting import AppRemains, OrganizationRemains
from infra.cli.registry.registered import NAME_RESTS, rests_until
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.views import load_app, title

SHOWN = 20  # installations; of more, their number

_WAITING = (PARKED, RETRYING)


def app(stack_name: str, app_id: str, *, discard: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Look, show, ask, delete an app."""
    found = stack.find(stack_name)
    deps = identity.transition_dependencies(found, stack.bind(found))
    remains = deleting.look_at_app(app_id, utc_now())
    if remains.empty:
        load_app(app_id)  # which says that there is none, and which may be meant
    free_at = rests_until(remains.deletion) if remains.deletion and not remains.app else utc_now() + NAME_RESTS
    if as_json:
        terminal.print_json({"stack": found.name} | app_document(remains, free_at))
    else:
        _print(app_lines(remains, found, free_at), terminal.console())
    if dry_run:
        _say_nothing_done(as_json=as_json)
        return
    if remains.app and remains.waiting.total(_WAITING) and not discard:
        raise CommandError(
            f"nothing is deleted: deliveries wait ({remains.waiting.text(_WAITING)}), and would never be sent",
            f"have them sent (`bellhop log {app_id}`, `bellhop replay {app_id}`), or give them up with --discard",
        )
    _ask(f"Delete {app_id} from {found.title}? This cannot be undone.", yes=yes, as_json=as_json)
    queue = identity.transitions_queue(found)
    left = deleting.delete_app(remains, found.replay_per_second, queue, deps, identity.operator())
    if not as_json:
        line(terminal.console(), f"Deleted {app_id} from {found.title}.", "bold")
    if left:
        raise CommandError(
            f"owners' addresses stay in {', '.join(left)}: its mails are not finished; "
            f"`bellhop delete app {app_id}` in some minutes takes them out"
        )


def organization(stack_name: str, organization_id: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Look, show, ask, delete an organisation."""
    found = stack.find(stack_name)
    stack.bind(found)
    remains = deleting.look_at_organization(organization_id)
    if remains.empty:
        raise CommandError(f"no organisation {printable(organization_id)!r}: `bellhop export` has their ids")
    if as_json:
        terminal.print_json({"stack": found.name} | organization_document(remains))
    else:
        _print(organization_lines(remains), terminal.console())
    if remains.apps:
        raise CommandError(
            f"nothing is deleted: apps belong to {organization_id}; delete them first, or give them another owner",
            *(f"`bellhop delete app {app_id}`" for app_id in remains.apps),
        )
    if dry_run:
        _say_nothing_done(as_json=as_json)
        return
    _ask(f"Delete {organization_id} from {found.title}? This cannot be undone.", yes=yes, as_json=as_json)
    deleting.delete_organization(remains)
    if not as_json:
        line(terminal.console(), f"Deleted {organization_id} from {found.title}.", "bold")


def app_document(remains: AppRemains, free_at: datetime) -> dict[str, Any]:
    """What there is of an app, as JSON."""
    return {
        "app_id": remains.app_id,
        "registered": remains.app is not None,
        "secret": remains.keyed,
        "installations": _installations(remains.installations),
        "waiting": remains.waiting.document(),
        "addresses_in": [entry.transition_id for entry in remains.addressed],
        "slug_free_at": free_at.isoformat(timespec="seconds"),
    }


def organization_document(remains: OrganizationRemains) -> dict[str, Any]:
    """What there is of an organisation, as JSON."""
    return {
        "organization_id": remains.organization_id,
        "registered": remains.organization is not None,
        "owners": len(remains.organization.owners) if remains.organization else 0,
        "installations": _installations(remains.installations),
        "apps": list(remains.apps),
    }


def app_lines(remains: AppRemains, found: Stack, free_at: datetime) -> Iterator[str]:
    """What deleting an app does, and what stays."""
    known = remains.app
    if known:
        owner = f" of {known.organization_id}" if known.organization_id else ""
        yield f"- app {title(known.app_id, known.name)} ({known.kind}{owner}, {known.state})"
    if remains.keyed:
        yield "- its signing secret, its own headers and its OAuth2 credentials"
    yield from _installation_lines(remains.installations)
    if remains.addressed:
        yield f"- owners' addresses in audit entries: {_count_addresses(remains.addressed)}"
    if remains.waiting.total(_WAITING):
        yield f"Waiting, and never sent then: {remains.waiting.text(_WAITING)}."
        yield (
            "What is parked is ended in the background, what is retrying when its attempt is due; deliver logs "
            "each as skipped."
        )
    yield f"Functions know the app for up to {found.cache_seconds} s more (CacheSeconds)."
    yield (
        f"Until they expire stay: the delivery log ({KEPT.days} days), bodies of what was delivered "
        f"({counted(found.keep_delivered.days, 'day')}), counters ({outcomes.KEPT.days} days). "
        "Audit entries stay, without addresses."
    )
    yield f"Nobody gets the slug {remains.app_id} before {free_at:%Y-%m-%d}."


def organization_lines(remains: OrganizationRemains) -> Iterator[str]:
    """What deleting an organisation does, and what stays."""
    known = remains.organization
    if known:
        owners = counted(len(known.owners), "owner")
        yield f"- organisation {title(known.organization_id, known.name)}, with the addresses of {owners}"
    yield from _installation_lines(remains.installations)
    if remains.installations:
        yield (
            "What waits for these installations is withdrawn when its turn comes, with a log line each; what is "
            "parked for an app that stays off expires."
        )
    yield "The logs of the apps that were installed keep its deliveries until they expire."


def _installation_lines(installations: Sequence[Installation]) -> Iterator[str]:
    for each in installations[:SHOWN]:
        yield (f"- installation {each.installation_id}: {each.app_id} in {each.organization_id}, {each.status}")
    if len(installations) > SHOWN:
        yield f"- and {counted(len(installations) - SHOWN, 'more installation')}"


def _count_addresses(entries: Sequence[AuditEntry]) -> int:
    return len({owner for entry in entries for owner in entry.mails.attribute_values})


def _installations(installations: Sequence[Installation]) -> list[dict[str, str]]:
    names = ("installation_id", "app_id", "organization_id", "status")
    return [{name: getattr(each, name) for name in names} for each in installations]


def _print(lines: Iterator[str], console: Console) -> None:
    for text in lines:
        line(console, text, "red" if text.startswith("- ") else "")


def _say_nothing_done(*, as_json: bool) -> None:
    if not as_json:
        line(terminal.console(), "Nothing was deleted.")


def _ask(question: str, *, yes: bool, as_json: bool) -> None:
    if not yes:
        terminal.confirm(question, "nothing is deleted yet: add --yes", as_json=as_json)
