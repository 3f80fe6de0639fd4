"""Rotating an app's signing secret: the new one signs at once, the old one too until the overlap ends."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.exceptions import UpdateError

from bellhop.registry import find
from bellhop.secrets import SigningSecret
from bellhop.tables import lost_condition
from infra.console import keys
from infra.console.errors import ConsoleError
from infra.console.text import utc

LONGEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation to make; `until` is the end of the overlap, None without one. What was imported is not shown."""

    app_id: str
    secret: str = field(repr=False)
    generated: bool
    replaced: str = field(repr=False)
    until: datetime | None


def prepare(app_id: str, imported: str | None, overlap: timedelta, now: datetime, *, force: bool) -> Rotation:
    """The rotation to a new secret, or to `imported` in either form. Reads only.

    Raises:
        ConsoleError: the app has no secret, `imported` is none or is no change, or an overlap is still running
            and not to be dropped by `force`.
    """
    stored = find(SigningSecret, app_id, consistent=True)
    if stored is None:
        raise ConsoleError(f"{app_id} has no signing secret to rotate: `bellhop apply FILE` makes its first")
    if stored.live_previous(now.timestamp()) and not force:
        end = utc(datetime.fromtimestamp(float(stored.previous_until or 0), UTC))
        raise ConsoleError(
            f"{app_id} is rotating already, until {end} UTC: wait for that, or add --force to drop the older "
            "secret now, which breaks whoever still verifies with it"
        )
    secret = keys.generate() if imported is None else _read(imported)
    if secret == stored.secret:
        raise ConsoleError(f"this is the secret that {app_id} has already: import another, or none for a new one")
    return Rotation(app_id, secret, imported is None, stored.secret, _end(overlap, now))


def execute(rotation: Rotation) -> None:
    """Write it, if the secret is still the one that `prepare` saw: of two operators one wins, the other is told.

    Raises:
        ConsoleError: somebody else rotated meanwhile; nothing is written.
    """
    row = SigningSecret
    actions: list[Any] = [row.secret.set(rotation.secret)]
    if rotation.until:
        actions += [row.previous.set(rotation.replaced), row.previous_until.set(int(rotation.until.timestamp()))]
    else:
        actions += [row.previous.remove(), row.previous_until.remove()]
    try:
        row(rotation.app_id).update(actions=actions, condition=row.secret == rotation.replaced)
    except UpdateError as error:
        if not lost_condition(error):
            raise
        raise ConsoleError(
            f"the secret of {rotation.app_id} was changed meanwhile by somebody else, and the one shown here was "
            "not stored: `bellhop app` says whether a rotation is running"
        ) from None


def _end(overlap: timedelta, now: datetime) -> datetime | None:
    return (now + overlap).replace(microsecond=0) if overlap else None


def _read(text: str) -> str:
    try:
        return keys.read(text)
    except keys.SecretRefusedError as error:
        raise ConsoleError(f"the secret to import {error}") from None
