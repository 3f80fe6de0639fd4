"""What comes into the delivery log: each entry once, and its body, which may come a moment later."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError
from pynamodb.exceptions import PynamoDBException

from bellhop.deliveries import Delivery
from infra.cli import bodies, errors
from infra.cli.attempt_log import CHAIN, Reading
from infra.cli.chosen_apps import Within
from infra.cli.delivered import AHEAD
from infra.cli.entries import Entry, Wanted

MOST = 10_000  # entries of a look
BODIES = 1_000  # of a look: more might not fit in memory
# An attempt is in the log once its batch has ended, which is as long as an invocation lasts.
LATE = timedelta(minutes=2)
LOOKS = 5  # for which the body of a new entry is looked for: it is not written together with the entry

Found_co = TypeVar("Found_co", covariant=True)


class Looking(Protocol[Found_co]):
    """Something that is looked at again and again."""

    def look(self, now: datetime) -> Sequence[Found_co]:
        """What came since the last look that succeeded, the oldest first."""


def looks(source: Looking[Found_co], seconds: float) -> Iterator[Sequence[Found_co]]:
    """Look for ever, with so many seconds between two looks.

    A network that fails for a while, as that of a laptop that sleeps, does not end it: the next look has the rest.
    A local stack that has ended does.
    """
    failed = False
    while True:
        try:
            found = source.look(datetime.now(UTC))
        except PynamoDBException as error:
            if errors.has_ended(error.cause) or not isinstance(error.cause, AwsConnectionError | HTTPClientError):
                raise
            if not failed:
                errors.say(f"warning: {errors.explain(error)}; it is looked again until AWS responds")
            failed = True
        else:
            if failed:
                errors.say("AWS responds again; nothing was left out")
            failed = False
            yield found
        time.sleep(seconds)


@dataclass
class Following:
    """Looks at the log of some apps, from `since` on. `chain`: see Reading."""

    apps: Mapping[str, Within | None]
    since: datetime
    wanted: Wanted = field(default_factory=Wanted)
    limit: int = MOST
    chain: timedelta = CHAIN
    complete: bool = True  # whether the last look saw everything
    _seen: dict[tuple[str, int, str, datetime], datetime] = field(default_factory=dict)

    def look(self, now: datetime) -> list[Entry]:
        """See Looking."""
        reading = Reading(self.since, now + AHEAD, self.limit, self.wanted, chain=self.chain)
        log = reading.of_apps(self.apps)
        fresh = [entry for entry in reversed(log.entries) if entry.key not in self._seen]
        self.complete = log.complete
        self.since, self.limit = max(self.since, now - LATE), MOST
        self._seen |= {entry.key: entry.at for entry in fresh}
        self._seen = {key: at for key, at in self._seen.items() if at >= self.since}
        return fresh


@dataclass
class WithBodies:
    """The same with the delivery of each entry; None where its body is not kept.

    `keeps`: whether the stack keeps the bodies of what succeeds at once.
    """

    entries: Looking[Entry]
    keeps: bool
    _waiting: list[tuple[Entry, int]] = field(default_factory=list)

    def look(self, now: datetime) -> list[tuple[Entry, Delivery | None]]:
        """See Looking. Of many, the rest is left to the next look."""
        self._waiting += [(entry, 0) for entry in self.entries.look(now)]
        some, rest = self._waiting[:BODIES], self._waiting[BODIES:]
        found = bodies.read([entry for entry, _ in some])
        ended = []
        for (entry, before), delivery in zip(some, found, strict=True):
            if delivery is None and before + 1 < LOOKS and self._may_come(entry):
                rest.append((entry, before + 1))
            else:
                ended.append((entry, delivery))
        self._waiting = rest
        return ended

    def _may_come(self, entry: Entry) -> bool:
        kept = entry.source.kept
        return kept is None or (self.keeps and kept.page != "")
