"""How unwell an endpoint is, in strikes: all functions count them together, and enough of them pause its app.

An endpoint is unwell that does not respond, responds with a server's error (5xx), or asks for fewer requests
(429). Any other response, whatever it says about the webhook, shows that it is alive, and takes all strikes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

STRIKES_TO_PAUSE = 10
WINDOW_SECONDS = 3600.0  # after which strikes are forgotten, if no other came: rare failures pause nothing
# An attempt that held its place in a batch for long delays other apps' deliveries, so three of them are enough.
STRIKES_OF_SLOW = 4
SLOW_SHARE = 0.5  # of the deadline


@dataclass(frozen=True, slots=True)
class Sign:
    """What one attempt says of an app's endpoint in the app's `generation`."""

    app_id: str
    generation: int
    well: bool
    strikes: int = 0


def sign(app_id: str, generation: int, *, well: bool, seconds: float, deadline: float) -> Sign:
    """What an attempt says that took so many seconds."""
    strikes = STRIKES_OF_SLOW if seconds >= deadline * SLOW_SHARE else 1
    return Sign(app_id, generation, well, 0 if well else strikes)


def merge(signs: Iterable[Sign]) -> list[Sign]:
    """One sign per app and generation; one that is well outweighs the others."""
    merged: dict[tuple[str, int], Sign] = {}
    for each in signs:
        key = (each.app_id, each.generation)
        before = merged.get(key, Sign(*key, well=False))
        well = before.well or each.well
        merged[key] = Sign(*key, well, 0 if well else before.strikes + each.strikes)
    return list(merged.values())
