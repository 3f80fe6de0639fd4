"""Whether it was our own network that failed: unrelated endpoints that just responded are not all gone at once.

One attempt cannot tell whether its endpoint is down or our way out of here: a NAT gateway, a route, a firewall. A
process can. Its failures are ours when nobody has responded since the first of them, though the attempts went to
several unrelated sites, and among them are endpoints of several apps that responded to it a short while ago.

An attacker who can make many hosts of theirs fail at once gains little by it: one response of anybody shows that
the network works; what is excused is made again a minute or two later; and who had not responded for
`RECENT_SECONDS` when the failures began excuses nothing.

What one process found holds for all, for a while: the processes of the slow lane, which make those attempts again,
seldom see anybody respond. But whoever reaches anybody meanwhile takes it back, so nobody can have the attempts of
others excused for longer than it takes the next process to look.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from bellhop import circuits
from bellhop.telemetry import Telemetry
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure

SITES = 5  # that failed, of as many apps, one after another or in one batch, within
FAILED_SECONDS = 120.0  # which is long enough for as many batches of one, each as long as its deadline
KNOWN_APPS = KNOWN_SITES = 3  # among them, that responded a short while ago
RECENT_SECONDS = 300.0  # before the first failure
LONGEST_SECONDS = 6 * 3600.0  # of an outage; where nobody responds for longer, it may be that all of them are gone
OUTAGE_SECONDS = 120.0  # for which the other processes take a process's word
SKEW_SECONDS = 60.0  # by which clocks may differ; a time further ahead is none
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


def is_down(failed: AbstractSet[tuple[str, str]], known: AbstractSet[tuple[str, str]]) -> bool:
    """Whether it is our network that failed.

    `failed`: apps at their sites that were not reached since anybody was; `known`: those that responded lately.
    """
    knew = failed & known
    return (
        len({site for _, site in failed}) >= SITES
        and len({app_id for app_id, _ in failed}) >= SITES
        and len({site for _, site in knew}) >= KNOWN_SITES
        and len({app_id for app_id, _ in knew}) >= KNOWN_APPS
    )


class Outages(Protocol):
    """What all processes together know of outages of our network."""

    def declare(self, now: float) -> None:
        """Say that there is one now (Unix seconds)."""

    def under_way(self, now: float) -> bool:
        """Whether a process said so a short while ago."""

    def end(self, until: float) -> None:
        """Take back what was said of an outage until then."""


class SharedOutages:
    """In the Circuits table.

    Policy: where it does not respond, or has what nobody can read, each process goes by what it found itself.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def declare(self, now: float) -> None:
        """Say that there is one now (Unix seconds)."""
        try:
            circuits.declare_outage(now + OUTAGE_SECONDS)
        except Exception:  # noqa: BLE001 - see the policy
            self._telemetry.error("outage of our network not written: the other processes find it themselves")

    def under_way(self, now: float) -> bool:
        """Whether a process said so a short while ago."""
        try:
            until = float(circuits.slow_list().outage_until or 0.0)
        except Exception:  # noqa: BLE001 - see the policy
            self._telemetry.error("outage of our network not read: this process goes by what it finds itself")
            return False
        return now < until <= now + OUTAGE_SECONDS + SKEW_SECONDS

    def end(self, until: float) -> None:
        """Take back what was said of an outage until then."""
        try:
            circuits.end_outage(until)
        except Exception:  # noqa: BLE001 - see the policy
            self._telemetry.error("outage of our network not taken back: it ends by itself within two minutes")


class Network:
    """What this process knows of the network: which endpoints responded to it, and when."""

    def __init__(self, outages: Outages) -> None:
        self._outages = outages
        self._responded: dict[tuple[str, str], float] = {}  # the one that responded longest ago comes first
        self._failed: dict[tuple[str, str], float] = {}  # since anybody was reached
        self._failing_since: float | None = None
        self._reached = False  # anybody, by the last batch
        self._taken_back = 0.0  # the outage that was declared until then

    def judge(self, attempted: Sequence[Attempted], now: float) -> NetworkDownError | None:
        """The fault of ours by which a batch reached nobody, if there is one; `now` in Unix seconds."""
        for each in attempted:
            if isinstance(each.outcome, Response):
                self._note(each.place, now)
        self._reached = any(each.reached for each in attempted)
        if self._reached:
            self._failed.clear()
            self._failing_since = None
            return None
        unreached = [each for each in attempted if each.unreached]
        if unreached and self._failing_since is None:
            self._failing_since = now
        self._failed = _since(self._failed | {each.place: now for each in unreached}, now, FAILED_SECONDS)
        if unreached and is_down(self._failed.keys(), self._known(now).keys()):
            self._outages.declare(now)
            return NetworkDownError(
                "nobody responds, of whom several did just before: it is our network that failed"
            )
        if unreached and self._outages.under_way(now):
            return NetworkDownError("nobody responds, and another process just found that our network failed")
        return None

    def take_back(self, declared_until: float, now: float) -> None:
        """Take back an outage that was declared until then, if the last batch reached anybody; once.

        Policy: this comes after the batch is written. A table that does not respond must not keep what was posted
        from being written.
        """
        if self._reached and now < declared_until != self._taken_back:
            self._taken_back = declared_until
            self._outages.end(declared_until)

    def _known(self, now: float) -> Mapping[tuple[str, str], float]:
        """Who had responded shortly before the failures began. However long these last, nobody has since."""
        began = self._failing_since
        if began is None or now - began >= LONGEST_SECONDS:
            return {}
        return _since(self._responded, began, RECENT_SECONDS)

    def _note(self, place: tuple[str, str], now: float) -> None:
        self._responded.pop(place, None)
        self._responded[place] = now
        if len(self._responded) > REMEMBERED:
            del self._responded[next(iter(self._responded))]


def _since(places: Mapping[tuple[str, str], float], now: float, seconds: float) -> dict[tuple[str, str], float]:
    return {place: at for place, at in places.items() if 0 <= now - at < seconds}
