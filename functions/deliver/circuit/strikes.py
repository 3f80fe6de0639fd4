"""How unwell an endpoint is, in strikes: all functions count them together, and enough of them pause its app.

An endpoint is unwell that does not respond, responds with a server's error (5xx), or asks for fewer requests
(429). Any other response, whatever it says about the webhook, shows that it is alive, and takes all strikes back.

A quick failure may be the fault of what one organisation sent. So an app that others may have installed is paused
only by those of two organisations, or where an attempt took long.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

STRIKES_TO_PAUSE = 10
WINDOW_SECONDS = 3600.0  # after which strikes are forgotten, if no other came: rare failures pause nothing
# A lone quick failure just after a success says little, and would take two writes: to count it, to take it back.
# So the process that saw both does not count it, but all that follow.
WELL_SECONDS = 60.0
# An attempt that held its place in a batch for long delays other apps' deliveries, so three of them are enough.
STRIKES_OF_SLOW = 4
SLOW_SHARE = 0.5  # of the deadline
EVERYBODY = "*"  # no organisation's id has this form


@dataclass(frozen=True, slots=True)
class Sign:
    """What one attempt says of an app's endpoint in the app's `generation`.

    `by`: of which organisations' deliveries the strikes are; EVERYBODY where that does not matter.
    """

    app_id: str
    generation: int
    well: bool
    strikes: int = 0
    by: frozenset[str] = frozenset()


def sign(
    app_id: str, generation: int, *, well: bool, seconds: float, deadline: float, by: str = EVERYBODY
) -> Sign:
    """What an attempt says that took so many seconds, of a delivery of the organisation `by`."""
    if well:
        return Sign(app_id, generation, well)
    if seconds >= deadline * SLOW_SHARE:
        return Sign(app_id, generation, well, STRIKES_OF_SLOW, frozenset({EVERYBODY}))
    return Sign(app_id, generation, well, 1, frozenset({by}))


def is_lone(sign: Sign) -> bool:
    """Whether it is of one attempt that failed quickly."""
    return sign.strikes == 1


def pause(strikes: int, by: Collection[str]) -> bool:
    """Whether so many strikes, of the deliveries of these organisations, pause the app."""
    return strikes >= STRIKES_TO_PAUSE and (EVERYBODY in by or len(by) > 1)


def named(by: frozenset[str]) -> frozenset[str]:
    """Whom the circuit names for these strikes: one organisation, or everybody, as two count as much."""
    return by if len(by) == 1 else frozenset({EVERYBODY})


def merge(signs: Iterable[Sign]) -> list[Sign]:
    """One sign per app and generation; one that is well outweighs the others."""
    merged: dict[tuple[str, int], Sign] = {}
    for each in signs:
        key = (each.app_id, each.generation)
        before = merged.get(key, Sign(*key, well=False))
        well = before.well or each.well
        total, by = before.strikes + each.strikes, before.by | each.by
        merged[key] = Sign(*key, well) if well else Sign(*key, well, total, by)
    return list(merged.values())
