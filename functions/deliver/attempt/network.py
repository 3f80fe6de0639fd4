"""Whether it was our own network that failed: unrelated endpoints that just responded are not all gone at once.

One attempt cannot tell whether its endpoint is down or our way out of here: a NAT gateway, a route, a firewall. A
batch can. Its failures are ours when nobody responded, though the attempts went to several unrelated sites, and
among them are endpoints of several apps that responded to this process a short while ago.

An attacker who can make many hosts of theirs fail at once gains little by it: one response of anybody in the same
batch shows that the network works; what is excused is made again a minute or two later; and who has not responded
for `RECENT_SECONDS` excuses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure

SITES = 5  # that failed in one batch
KNOWN_APPS = KNOWN_SITES = 3  # among them, that responded a short while ago
RECENT_SECONDS = 300.0
REMEMBERED = 4096  # apps at their sites

_UNREACHED = {"timeout", "dns_error", "connection_error"}
_REACHED = {"tls_error", "invalid_response"}  # something came back; other kinds say that nothing was sent


class NetworkDownError(OurFaultError):
    """Nobody responded, and several who failed at once had responded just before."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt that was made: for whom, to where, and what came of it."""

    app_id: str
    url: str
    outcome: Response | SendFailure

    @property
    def unreached(self) -> bool:
        """Whether it failed as it would if our network were down."""
        return isinstance(self.outcome, SendFailure) and self.outcome.kind in _UNREACHED

    @property
    def reached(self) -> bool:
        """Whether anything came back."""
        return isinstance(self.outcome, Response) or self.outcome.kind in _REACHED

    @property
    def place(self) -> tuple[str, str]:
        """The app and its site."""
        return self.app_id, site(self.url)


def site(url: str) -> str:
    """What hosts have in common that are likely to fail together: the last two labels of a name, or an address.

    Of `a.example.co.uk` that is too little. It makes sites fewer than they are, so more failures are counted.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # a netloc that was posted to in another spelling
        return ""
    try:
        return str(ip_address(host))
    except ValueError:
        return ".".join(host.split(".")[-2:])


def is_down(attempted: Sequence[Attempted], known: set[tuple[str, str]]) -> bool:
    """Whether a batch shows that our network failed. `known`: apps at their sites that responded just before."""
    if any(each.reached for each in attempted):
        return False
    places = {each.place for each in attempted if each.unreached}
    knew = places & known
    return (
        len({site for _, site in places}) >= SITES
        and len({site for _, site in knew}) >= KNOWN_SITES
        and len({app_id for app_id, _ in knew}) >= KNOWN_APPS
    )


class Network:
    """What this process knows of the network: which endpoints responded to it, and when."""

    def __init__(self) -> None:
        self._responded: dict[tuple[str, str], float] = {}  # the one that responded longest ago comes first

    def judge(self, attempted: Sequence[Attempted], now: float) -> NetworkDownError | None:
        """The fault of ours that the attempts of a batch show, if they do; what responded is remembered."""
        known = {place for place, at in self._responded.items() if 0 <= now - at < RECENT_SECONDS}
        for each in attempted:
            if isinstance(each.outcome, Response):
                self._note(each.place, now)
        if not is_down(attempted, known):
            return None
        return NetworkDownError("nobody responds, of whom several did just before: it is our network that failed")

    def _note(self, place: tuple[str, str], now: float) -> None:
        self._responded.pop(place, None)
        self._responded[place] = now
        if len(self._responded) > REMEMBERED:
            del self._responded[next(iter(self._responded))]
