"""How an app stands: off since when and by whom, paused until which trial, failing, or on the slow list."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bellhop import circuits
from bellhop.circuits import Circuit
from bellhop.registry import DISABLED, App, AuditEntry
from bellhop.slow_start import start_rate
from deliver.circuit.strikes import STRIKES_TO_PAUSE, WINDOW_SECONDS
from health.mail import wording
from health.transitions import BY_PERSON
from infra.cli.text import duration, iso_time, stored_time, unix_time
from infra.cli.views import read_items

OFF, PAUSED, FAILING, SLOW, ON = "off", "paused", "failing", "slow", "on"
CONDITIONS = (OFF, PAUSED, FAILING, SLOW, ON)  # the worst first


@dataclass(frozen=True, slots=True)
class Condition:
    """How an app's endpoint stands at `now`, by the app's circuit and the list of slow apps. Times: Unix seconds.

    `strikes` are those that still count. `start_rate`: deliveries a second in the slow start after a pause, None
    where there is none.
    """

    now: float
    off: bool = False
    paused_since: float | None = None
    next_trial_at: float | None = None
    trial_lease_until: float | None = None
    strikes: int = 0
    slow: bool = False
    closed_at: float | None = None
    start_rate: float | None = None

    @property
    def name(self) -> str:
        """One of CONDITIONS, the worst that is true."""
        if self.off:
            return OFF
        if self.paused_since is not None:
            return PAUSED
        if self.strikes:
            return FAILING
        return SLOW if self.slow else ON

    def text(self) -> str:
        """What becomes of the app's deliveries, apart from its being off."""
        if self.paused_since is not None:
            return f"paused since {_since(self.paused_since, self.now)}; {self.trial_text()}"
        parts = (
            [f"{wording.counted(self.strikes, 'strike')}; {STRIKES_TO_PAUSE} pause the app"]
            if self.strikes
            else []
        )
        if self.slow:
            parts.append("on the slow list: its first attempts go by the slow lane")
        if self.start_rate is not None and self.closed_at is not None:
            began = unix_time(self.closed_at)
            parts.append(f"starting slowly since {began}, {self.start_rate:.1f} deliveries a second now")
        return "; ".join(parts) or "closed, deliveries go out"

    def trial_text(self) -> str:
        """When a paused app's next trial is."""
        if self.trial_lease_until is not None and self.trial_lease_until >= self.now:
            return "a trial is under way"
        wait = (self.next_trial_at or 0.0) - self.now
        return f"next trial in {duration(wait)}" if wait > 0 else "the next trial is due"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        paused = self.paused_since is not None
        return {
            "condition": self.name,
            "paused_since": iso_time(self.paused_since),
            "next_trial_at": iso_time(self.next_trial_at) if paused else None,
            "trial_lease_until": iso_time(self.trial_lease_until) if paused else None,
            "strikes": self.strikes,
            "slow": self.slow,
            "closed_at": iso_time(self.closed_at),
            "slow_start_per_second": self.start_rate,
        }


def condition(app: App, circuit: Circuit, slow: frozenset[str], now: float) -> Condition:
    """How an app stands."""
    generation = int(app.generation)
    closed_at = _number(circuit.closed_at) if circuit.generation == generation else None
    rate = start_rate(closed_at, now)
    return Condition(
        now,
        off=app.state == DISABLED,
        paused_since=circuits.paused_since(circuit, generation),
        next_trial_at=_number(circuit.next_trial_at),
        trial_lease_until=_number(circuit.trial_lease_until),
        strikes=_strikes(circuit, generation, now),
        slow=app.app_id in slow,
        closed_at=closed_at,
        start_rate=None if rate == math.inf else rate,
    )


def conditions(apps: Iterable[App], circuit_rows: Iterable[Circuit], now: float) -> dict[str, Condition]:
    """How apps stand, by their names, with those of their circuits that there are; reads the list of slow apps."""
    rows, slow = {row.app_id: row for row in circuit_rows}, circuits.slow_list().names
    return {app.app_id: condition(app, rows.get(app.app_id) or Circuit(app.app_id), slow, now) for app in apps}


def read_conditions(app_ids: Collection[str], now: datetime) -> tuple[dict[str, App], dict[str, Condition]]:
    """Those of these apps that are registered, and how each stands, all read together."""
    apps = {app.app_id: app for app in read_items(App, sorted(app_ids))} if app_ids else {}
    rows = read_items(Circuit, [*apps]) if apps else ()
    return apps, conditions(apps.values(), rows, now.timestamp()) if apps else {}


def off_text(entry: AuditEntry | None, now: float) -> str:
    """Since when an app is off, by whom and why, by the entry of the transition."""
    if entry is None:
        return "off by hand: no audit entry says since when"
    evidence = entry.evidence or {}
    person = evidence.get("rule") == BY_PERSON
    why = evidence.get("reason") if person else wording.reason(evidence)
    return f"off since {stored_since(entry.at, now)} by {entry.actor}{f': {why}' if why else ''}"


def way_back_text(app: App, entry: AuditEntry | None) -> str:
    """How an app comes back, or would, where it asks for recovery checks (`auto_enable`); otherwise empty."""
    if not app.auto_enable:
        return ""
    if app.state != DISABLED:
        return "once health switches it off, it is pinged, and switched on when it responds well (auto_enable)"
    if entry is not None and (entry.evidence or {}).get("rule") != BY_PERSON:
        return "it is pinged, and switched on when it responds well (auto_enable)"
    return "a person switched it off, so a person switches it on; auto_enable does not apply"


def stored_since(at: str, now: float) -> str:
    """A time that is stored as ISO 8601, and how long ago that was."""
    return f"{stored_time(at)} ({duration(max(0.0, now - datetime.fromisoformat(at).timestamp()))} ago)"


def _since(seconds: float, now: float) -> str:
    return f"{unix_time(seconds)} ({duration(max(0.0, now - seconds))} ago)"


def _strikes(circuit: Circuit, generation: int, now: float) -> int:
    fresh = circuit.generation == generation and now - float(circuit.struck_at or 0) < WINDOW_SECONDS
    return int(circuit.strikes or 0) if fresh else 0


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
