"""What goes wrong at a call to an outside service, by chance: the call, its response, the process that makes it.

Each call is an effect, and has two boundaries: before and after it. A process may die or freeze at either. One
that freezes goes on later, perhaps after its leases and its messages went to others.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from botocore.exceptions import ClientError, ReadTimeoutError

DIED_BEFORE, DIED_AFTER, FROZE_BEFORE, FROZE_AFTER = "died before", "died after", "froze before", "froze after"
REFUSED, THROTTLED, LOST, TWICE = "refused", "throttled", "response lost", "done twice"
DONE = "done, and refused"  # nobody knows after a 500 whether it was
BOUNDARIES = (DIED_BEFORE, DIED_AFTER, FROZE_BEFORE, FROZE_AFTER)
KINDS = (*BOUNDARIES, REFUSED, THROTTLED, LOST, TWICE, DONE)
FREEZES = (2.0, 45.0, 250.0)  # seconds: less than a lease, more than one, more than a visibility timeout
FIRST_CALLS, FIRST_RATE = 2, 0.15  # of each effect in a story, so that also what happens rarely is met

# What a client repeats by itself is done twice now and then. These repeat nothing.
_NEVER_TWICE = {"UpdateItem outcomes", "SendEmail", "POST"}


class DeathError(BaseException):
    """The process is gone: no boundary catches it."""


@dataclass
class Faults:
    """What goes wrong: `rate` of all calls, and every call to the service or table that is `down`.

    `strikes` are effects and what befalls the next call of each. `freeze` lets others go on for so many seconds.
    `calls` counts each kind of call, `met` what happened at it.
    """

    chance: random.Random
    rate: float = 0.0
    down: str | None = None
    strikes: list[tuple[str, str]] = field(default_factory=list)
    freeze: Callable[[float], None] = lambda seconds: None
    calls: Counter[str] = field(default_factory=Counter)
    met: Counter[tuple[str, str]] = field(default_factory=Counter)

    def call(self, who: str, name: str, act: Callable[[], Any]) -> Any:
        """Do `act`, or not, or twice, or later; raises what the caller would see, or its death.

        `who` is the function that calls; `name` is the operation, and after a space the table or queue.
        """
        effect = f"{who}: {name}"
        self.calls[effect] += 1
        if self.down and name.endswith(self.down):
            refuse(name)
        kind = self._struck(effect) or self._by_chance(effect, name)
        if kind is None:
            return act()
        self.met[effect, kind] += 1
        return self._fail(kind, name, act)

    def _struck(self, effect: str) -> str | None:
        strike = next((each for each in self.strikes if each[0] == effect), None)
        if strike is None:
            return None
        self.strikes.remove(strike)
        return strike[1]

    def _by_chance(self, effect: str, name: str) -> str | None:
        rare = self.rate and self.calls[effect] <= FIRST_CALLS
        if self.chance.random() >= (max(self.rate, FIRST_RATE) if rare else self.rate):
            return None
        return self.chance.choice([each for each in KINDS if each != TWICE or name not in _NEVER_TWICE])

    def _fail(self, kind: str, name: str, act: Callable[[], Any]) -> Any:
        self._before(kind, name)
        done = act()
        if kind == TWICE:
            return act()
        self._after(kind, name)
        return done

    def _before(self, kind: str, name: str) -> None:
        match kind:
            case "died before":
                raise DeathError
            case "refused":
                refuse(name)
            case "throttled":
                refuse(name, "ThrottlingException", 400)
            case "froze before":
                self.freeze(self.chance.choice(FREEZES))

    def _after(self, kind: str, name: str) -> None:
        match kind:
            case "died after":
                raise DeathError
            case "response lost":
                raise ReadTimeoutError(endpoint_url=name)
            case "done, and refused":
                refuse(name)
            case "froze after":
                self.freeze(self.chance.choice(FREEZES))


def refuse(name: str, code: str = "InternalServerError", status: int = 500) -> NoReturn:
    """Raise what botocore raises for such a response."""
    error = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    raise ClientError(error, name)  # type: ignore[arg-type]
