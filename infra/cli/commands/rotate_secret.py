"""bellhop rotate-secret: a new signing secret signs at once, and the old one too until the overlap ends."""

import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from bellhop.registry import find
from bellhop.secrets import HMAC, SigningSecret, signature_of
from bellhop.tables import change
from infra.cli import signing_secrets, stack, terminal
from infra.cli.errors import CommandError, UsageError
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.text import unix_time, utc
from infra.cli.views import load_app, print_secret, secret_document

LONGEST_OVERLAP = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation to make; `until` is the end of the overlap, None without one. An imported secret is not shown."""

    app_id: str
    secret: str = field(repr=False)
    generated: bool
    replaced: str = field(repr=False)
    until: datetime | None

    @property
    def classic(self) -> str:
        """What becomes of the header that is always an HMAC while both secrets sign; empty where there is none."""
        old, new = signature_of(self.replaced) == HMAC, signature_of(self.secret) == HMAC
        if old and new:
            return "uses the old secret until then, the new one after: so must a receiver"
        if old:
            return "uses the old secret until then, and is left out after"
        return "is there from now on, and uses the new secret" if new else ""


def run(
    stack_name: str,
    app_id: str,
    *,
    overlap: str,
    signature: str | None,
    secret_env: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show the new secret, then write it."""
    both = terminal.read_duration("--overlap", overlap, LONGEST_OVERLAP, zero=True)
    imported = None
    if secret_env is not None:
        imported = signing_secrets.read_variable("--secret-env", secret_env, os.environ)
    if signature is not None:
        signing_secrets.read_signature("--signature", signature)
        if imported is not None and signature_of(imported) != signature:
            raise UsageError(f"--signature {signature} does not fit the secret of --secret-env: leave it out")
    found = stack.find(stack_name)
    stack.bind(found)
    load_app(app_id)
    rotation = prepare(app_id, imported, both, datetime.now(UTC), signature=signature, force=force)
    console = terminal.console()
    if as_json:
        terminal.print_json(document(rotation, found.cache_seconds))
    elif rotation.generated:
        print_secret(rotation.app_id, rotation.secret, console)
    sys.stdout.flush()  # an operator must have a secret before it is stored
    execute(rotation)
    if not as_json:
        _print(rotation, found, console)


def prepare(
    app_id: str,
    imported: str | None,
    overlap: timedelta,
    now: datetime,
    *,
    signature: str | None = None,
    force: bool,
) -> Rotation:
    """The rotation to the `imported` secret, or to a new one, for the same signature unless another is named.

    Only reads.

    Raises:
        CommandError: the app has no secret, `imported` is the present one, or an overlap is
            running that `force` does not drop.
    """
    stored = find(SigningSecret, app_id, consistent=True)
    if stored is None:
        raise CommandError(f"{app_id} has no signing secret to rotate: `bellhop apply FILE` makes its first")
    if stored.live_previous(now.timestamp()) and not force:
        raise CommandError(
            f"{app_id} is rotating already, until {unix_time(stored.previous_until or 0)}: wait for that, or add "
            "--force to drop the older secret now, which breaks receivers that still verify with it"
        )
    signature = signature or signature_of(stored.secret)
    secret = signing_secrets.generate(signature) if imported is None else imported
    if secret == stored.secret:
        raise CommandError(f"this is the secret that {app_id} has already: import another, or none for a new one")
    until = (now + overlap).replace(microsecond=0) if overlap else None
    return Rotation(app_id, secret, imported is None, stored.secret, until)


def execute(rotation: Rotation) -> None:
    """Write it, if the secret is still the one that `prepare` saw: of two operators one wins, the other is told.

    Raises:
        CommandError: somebody else rotated meanwhile; nothing is written.
    """
    row = SigningSecret
    actions: list[Any] = [row.secret.set(rotation.secret)]
    if rotation.until:
        actions += [row.previous.set(rotation.replaced), row.previous_until.set(int(rotation.until.timestamp()))]
    else:
        actions += [row.previous.remove(), row.previous_until.remove()]
    # The new secret is there already if this write was made, its response was lost, and the SDK repeats it.
    as_seen = (row.secret == rotation.replaced) | (row.secret == rotation.secret)
    if not change(row(rotation.app_id), actions, as_seen):
        raise CommandError(
            f"the secret of {rotation.app_id} was changed meanwhile by somebody else, and the one shown here was "
            f"not stored: `bellhop app {rotation.app_id}` says whether a rotation is running"
        )


def document(rotation: Rotation, cache_seconds: int) -> dict[str, Any]:
    """A rotation as JSON, with the secret if it is a new one."""
    return {
        "app_id": rotation.app_id,
        "new_secret": secret_document(rotation.secret) if rotation.generated else None,
        "both_sign_until": rotation.until.isoformat(timespec="seconds") if rotation.until else None,
        "seen_within_seconds": cache_seconds,
    }


def _print(rotation: Rotation, found: Stack, console: Console) -> None:
    """What receivers see from now on."""
    if rotation.until:
        line(
            console,
            f"Rotated the secret of {rotation.app_id}. Until {utc(rotation.until)} UTC both secrets sign:",
            "bold",
        )
        line(
            console,
            "    webhook-signature      has a signature of each: a receiver may change at any time till then",
        )
        if rotation.classic:
            line(console, f"    Sentry-Hook-Signature  {rotation.classic}")
    else:
        line(console, f"Rotated the secret of {rotation.app_id}. The new one alone signs.", "bold")
    line(
        console, f"Functions see it within {found.cache_seconds} s (CacheSeconds); until then some sign as before."
    )
    line(console, found.next(f"app {rotation.app_id}"))
