"""All apps of a stack and how each stands, by a number of calls that hardly grows with the number of apps."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pynamodb.models import Model

from bellhop import index_keys, outcomes, registry
from bellhop.attempts import EXHAUSTED, DeliveryRecord
from bellhop.circuits import Circuit
from bellhop.due import SHARDS
from bellhop.outcomes import OutcomeDay
from bellhop.registry import DISABLED, KINDS, App, AuditEntry
from bellhop.tables import MOST_AT_ONCE
from deliver.circuit.strikes import STRIKES_TO_PAUSE
from health import transitions
from infra.cli.commands.mail import needs_resending
from infra.cli.condition import FAILING, OFF, ON, PAUSED, Condition, conditions, off_text
from infra.cli.text import duration
from infra.cli.views import read_items

AT_ONCE = 10  # calls side by side: as many as a client keeps connections
COUNTED_APPS = 20  # apps that are off or paused whose parked deliveries are counted, by a call for each key
COUNTED = 10_000  # of each at most
COUNTED_DUE = 1000  # of each shard of the index `due`, at most

_APP = ["app_id", "kind", "name", "state", "organization_id", "generation", "auto_enable"]

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Model)
Key = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class AppStatus:
    """An app and how it stands.

    `transition` switched it off, if it is off, or began its generation. `today`: what was counted today in the
    organisation that it belongs to; None if nothing was, or it belongs to none. `parked`: how many deliveries are
    parked, `COUNTED` or more of them as that number; None where they were not counted.
    """

    app: App
    condition: Condition
    transition: AuditEntry | None = None
    earlier: tuple[AuditEntry, ...] = ()
    today: OutcomeDay | None = None
    parked: int | None = None

    @property
    def name(self) -> str:
        """One of `condition.CONDITIONS`. Also failing: more failures than successes were counted today."""
        failed, succeeded = self.counted_today
        well = self.condition.name == ON
        return FAILING if well and failed > succeeded else self.condition.name

    @property
    def counted_today(self) -> tuple[int, int]:
        """How many failures and successes were counted today."""
        if self.today is None:
            return 0, 0
        failed = sum(int(getattr(self.today, name)) for name in ("error", "timeout", "fatal"))
        return failed, int(self.today.success)

    @property
    def undelivered_mails(self) -> tuple[AuditEntry, ...]:
        """The transitions whose mails somebody has to look after, the last two of the app."""
        entries = (self.transition, *self.earlier)
        return tuple(entry for entry in entries if entry is not None and needs_resending(entry))

    def text(self) -> str:
        """What there is to say of it, on a line."""
        now = self.condition.now
        parts = [off_text(self.transition, now) if self.condition.off else self.condition.text()]
        failed, succeeded = self.counted_today
        if failed and self.name != OFF:
            parts.append(f"today {failed:,} failed, {succeeded:,} delivered")
        if self.name == FAILING and not self.condition.strikes:
            parts = parts[1:]
        if self.parked:
            parts.append(f"{_at_least(self.parked, COUNTED)} parked")
        return "; ".join(parts)

    def brief(self) -> str:
        """The same in few words, beside the name of the condition."""
        stands, (failed, succeeded) = self.condition, self.counted_today
        parts = []
        if stands.off:
            parts.append(_off_briefly(self.transition, stands.now))
        elif stands.paused_since is not None:
            parts += [f"{duration(stands.now - stands.paused_since)}, {stands.trial_text()}"]
        elif stands.strikes:
            parts.append(f"{stands.strikes} of {STRIKES_TO_PAUSE} strikes")
        if self.parked:
            parts.append(f"{_at_least(self.parked, COUNTED)} parked")
        if failed and self.name == FAILING:
            parts.append(f"today {failed:,} of {failed + succeeded:,} failed")
        if stands.slow:
            parts.append("slow list")
        return ", ".join(parts)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        failed, succeeded = self.counted_today
        entry = self.transition
        return {
            **{name: getattr(self.app, name) for name in ("app_id", "kind", "name", "state", "organization_id")},
            "generation": int(self.app.generation),
            **self.condition.document(),
            "condition": self.name,
            "transition": {name: getattr(entry, name) for name in ("transition_id", "action", "actor", "at")}
            if entry
            else None,
            "failed_today": failed,
            "delivered_today": succeeded,
            "parked": self.parked,
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """All apps, in the order of their kinds and names."""

    apps: Sequence[AppStatus] = field(default_factory=list)

    def in_condition(self, *names: str) -> list[AppStatus]:
        """The apps in one of these conditions."""
        return [each for each in self.apps if each.name in names]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many apps are in each condition."""
        return Counter(each.name for each in self.apps)

    @property
    def parked(self) -> tuple[int, bool]:
        """How many deliveries are parked, and whether these are all."""
        waiting = self.in_condition(OFF, PAUSED)
        complete = all(each.parked is not None and each.parked < COUNTED for each in waiting)
        return sum(each.parked or 0 for each in waiting), complete


def read(now: datetime) -> Fleet:
    """Every app. Only apps that are off or paused cost calls of their own: one for each key of what is parked."""
    names = [app.app_id for apps in _side_by_side(_of_kind, KINDS) for app in apps]
    apps = {app.app_id: app for app in _read_all(App, names, _APP)}
    states = conditions(apps.values(), _read_all(Circuit, list(apps)), now.timestamp())
    entries = _entries(apps.values())
    today = {(row.app_id, row.organization_id): row for row in _read_all(OutcomeDay, _today(apps.values(), now))}
    parked = _parked([name for name, state in states.items() if state.name in {OFF, PAUSED}])
    return Fleet(
        [
            AppStatus(
                apps[name],
                states[name],
                *_transitions(apps[name], entries),
                today=today.get((name, apps[name].organization_id or "")),
                parked=parked.get(name),
            )
            for name in names
            if name in apps
        ]
    )


def count_retrying() -> tuple[int, bool]:
    """How many deliveries wait for a retry, and whether these are all."""
    counts = _side_by_side(_retrying, range(SHARDS))
    return sum(counts), all(count < COUNTED_DUE for count in counts)


def _retrying(shard: int) -> int:
    return int(DeliveryRecord.due.count(shard, limit=COUNTED_DUE))


def _of_kind(kind: str) -> list[App]:
    return registry.directory(kind)


def _parked(names: Sequence[str]) -> dict[str, int]:
    counted = names[:COUNTED_APPS]
    return dict(zip(counted, _side_by_side(_count_parked, counted), strict=True))


def _count_parked(app_id: str) -> int:
    before = DeliveryRecord.replayable_at < EXHAUSTED
    return min(COUNTED, index_keys.count(DeliveryRecord.replayable, index_keys.all_keys(app_id), before, COUNTED))


def _entries(apps: Iterable[App]) -> dict[tuple[str, str], AuditEntry]:
    """The transitions that ended the generation before, and the one before that."""
    keys = [(app.app_id, key) for app in apps for key in _keys(app)]
    return {(entry.app_id, entry.transition_id): entry for entry in _read_all(AuditEntry, keys)}


def _keys(app: App) -> list[str]:
    ended = int(app.generation) - 1
    if app.state == DISABLED:
        return [transitions.disabled_id(ended), transitions.enabled_id(ended - 1)]
    return [transitions.enabled_id(ended), transitions.disabled_id(ended - 1)] if ended > 0 else []


def _transitions(
    app: App, entries: Mapping[tuple[str, str], AuditEntry]
) -> tuple[AuditEntry | None, tuple[AuditEntry, ...]]:
    last, *earlier = [entries.get((app.app_id, key)) for key in _keys(app)] or [None]
    return last, tuple(entry for entry in earlier if entry)


def _today(apps: Iterable[App], now: datetime) -> list[tuple[str, str]]:
    day = now.astimezone(UTC).date()
    return [
        (outcomes.scope(app.app_id, app.organization_id), outcomes.generation_day(int(app.generation), day))
        for app in apps
        if app.organization_id
    ]


def _read_all(model: type[M], keys: Sequence[Key], names: list[str] | None = None) -> list[M]:
    pages = [keys[start : start + MOST_AT_ONCE] for start in range(0, len(keys), MOST_AT_ONCE)]
    found = _side_by_side(partial(_read_page, model, names), pages)
    return [item for page in found for item in page]


def _read_page(model: type[M], names: list[str] | None, keys: Sequence[Key]) -> list[M]:
    return read_items(model, keys, names)


def _side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))


def _off_briefly(entry: AuditEntry | None, now: float) -> str:
    if entry is None:
        return "by hand"
    return f"{duration(now - datetime.fromisoformat(entry.at).timestamp())}, by {entry.actor}"


def _at_least(number: int, most: int) -> str:
    return f"at least {most:,}" if number >= most else f"{number:,}"
