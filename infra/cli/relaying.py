"""Copies of an app's deliveries, signed anew and posted to a URL on this machine."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from bellhop.clock import utc_now
from bellhop.deliveries import Delivery
from bellhop.successes import LONGEST
from deliver.attempt import signing
from deliver.attempt.signing import Keys
from infra.cli import forwarding
from infra.cli.entries import Entry
from infra.cli.following import LATE, Looking
from infra.cli.forwarding import LocalResponse, NotForwardedError
from infra.cli.text import first_line

NOT_KEPT = "its body is not kept"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a delivery: the response to it, or why it was `missed`, or why nothing came back.

    `entry` is what the log had of the delivery when it was found.
    """

    entry: Entry
    at: datetime
    response: LocalResponse | None = None
    milliseconds: int | None = None
    error: str = ""
    missed: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the response is a 2xx."""
        return self.response is not None and HTTPStatus(200) <= self.response.status < HTTPStatus(300)

    @property
    def text(self) -> str:
        """The first line of the response, or the error."""
        if self.response is None:
            return self.error
        return first_line(self.response.body.decode(errors="replace"))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        names = ("app_id", "event", "event_id", "delivery_id", "result", "resent")
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            **{name: getattr(self.entry, name) for name in names},
            "attempted_at": self.entry.at.isoformat(timespec="milliseconds"),
            "status": self.response.status if self.response else None,
            "milliseconds": self.milliseconds,
            "response": self.text if self.response else None,
            "error": self.error or None,
            "missed": self.missed,
        }


@dataclass
class Once:
    """Of each sending of a delivery one entry: neither its retries nor the end of its pause are a copy more."""

    entries: Looking[Entry]
    _seen: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def look(self, now: datetime) -> list[Entry]:
        """See Looking."""
        fresh = []
        for entry in self.entries.look(now):
            key = entry.delivery_id, entry.source.sending
            if key not in self._seen:
                fresh.append(entry)
                self._seen[key] = now
        self._seen = {key: at for key, at in self._seen.items() if at >= now - LATE - LONGEST}
        return fresh


@dataclass(frozen=True, slots=True)
class Relay:
    """Posts copies to `url`, signed by `secret`, one after another."""

    url: str
    secret: str = field(repr=False)
    now: Callable[[], datetime] = utc_now

    def copies(self, found: Iterable[tuple[Entry, Delivery | None]]) -> Iterator[Copy]:
        """Post a copy of each delivery whose body is kept."""
        for entry, delivery in found:
            yield self._post(entry, delivery) if delivery else Copy(entry, self.now(), error=NOT_KEPT, missed=True)

    def _post(self, entry: Entry, delivery: Delivery) -> Copy:
        now, begun = self.now(), time.monotonic()
        headers = signing.headers(delivery, Keys(self.secret), uuid4().hex, int(now.timestamp()))
        try:
            response = forwarding.post(self.url, delivery.body, headers)
        except NotForwardedError as error:
            return Copy(entry, now, error=str(error))
        return Copy(entry, now, response, round((time.monotonic() - begun) * 1000))
