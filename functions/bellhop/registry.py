"""The registry: organisations, apps, installations with their hooks, audit entries.

notify and deliver read it through a cache, so a change takes effect within the cache's lifetime.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from cachetools import TTLCache
from pynamodb.attributes import (
    BooleanAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from bellhop.lease import Lease
from bellhop.tables import UNREADABLE, ItemKey, UnreadableError, rows, rows_or_keys

INTERNAL, UNPUBLISHED, PUBLISHED = "internal", "unpublished", "published"
KINDS = (INTERNAL, UNPUBLISHED, PUBLISHED)
ENABLED, DISABLED = "enabled", "disabled"
INSTALLED, PENDING, UNINSTALLED = "installed", "pending", "uninstalled"

PAGE = 100  # installations that are read at once
CACHED_VALUES = 400_000  # about 40 MB: see _weight

T = TypeVar("T")


class Organization(Model):
    """A customer: `owners` are the addresses that get mail when one of its apps is switched off.

    `warnings` says whether the owners also want mail before that happens.
    """

    class Meta:
        table_name = "organizations"

    organization_id = UnicodeAttribute(hash_key=True)
    slug = UnicodeAttribute()
    name = UnicodeAttribute()
    owners: ListAttribute[str] = ListAttribute(default=list)
    warnings = BooleanAttribute(default=True)


class _Directory(GlobalSecondaryIndex["App"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "directory"
        projection = IncludeProjection(["name", "state", "organization_id"])

    kind = UnicodeAttribute(hash_key=True)
    app_id = UnicodeAttribute(range_key=True)


class App(Model):
    """An app: its endpoint, the events it may get, and whether its deliveries go out or are parked.

    `generation` counts how often the app was switched off or on. Outcomes are counted per generation, so health
    starts from zero after each switch. `transform` (see transforms.py) makes the body of its webhooks.
    """

    class Meta:
        table_name = "apps"

    app_id = UnicodeAttribute(hash_key=True)
    uuid = UnicodeAttribute()
    name = UnicodeAttribute()
    kind = UnicodeAttribute()
    organization_id = UnicodeAttribute(null=True)
    url = UnicodeAttribute()
    events: ListAttribute[str] = ListAttribute(default=list)
    # Its own headers, where 0.1.0 wrote them: `bellhop apply` moves them to its SigningSecret.
    headers: JSONAttribute = JSONAttribute(null=True)
    max_per_second: NumberAttribute = NumberAttribute(null=True)  # None: no limit
    transform = UnicodeAttribute(null=True)  # None: the body as it is
    state = UnicodeAttribute(default=ENABLED)
    generation = NumberAttribute(default=1)
    auto_enable = BooleanAttribute(
        null=True
    )  # while it is off, check its endpoint and switch it on when that works again
    directory = _Directory()

    def __repr__(self) -> str:
        return f"App({self.app_id!r})"  # the default would print its headers, which may be secret


class _ByApp(GlobalSecondaryIndex["Installation"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_app"
        projection = AllProjection()

    app_id = UnicodeAttribute(hash_key=True)
    organization_id = UnicodeAttribute(range_key=True)


class Installation(Model):
    """An app installed in an organisation, with its hook: which events it wants, from which projects.

    `filter` (see filters.py) is what must be true of a webhook's body.
    """

    class Meta:
        table_name = "installations"

    organization_id = UnicodeAttribute(hash_key=True)
    installation_id = UnicodeAttribute(range_key=True)
    app_id = UnicodeAttribute()
    status = UnicodeAttribute(default=INSTALLED)
    events: ListAttribute[str] = ListAttribute(default=list)
    projects: ListAttribute[str] = ListAttribute(null=True)  # None: every project
    filter = UnicodeAttribute(null=True)  # None: every event
    by_app = _ByApp()


class AuditEntry(Model):
    """A transition of an app: what happened and why, and how far what follows it has come.

    `transition_id` is `<generation>#<what>`, so that a generation can end only once. `mails` has, for each owner's
    address, the state of the one mail that the owner gets; `done` names the other steps that are done. While a
    worker does them, it has the lease until `lease_until` (Unix seconds); `lease_holder` is the token by which it
    knows its own writes again. The other times are ISO 8601, in UTC.
    """

    class Meta:
        table_name = "audit"

    app_id = UnicodeAttribute(hash_key=True)
    transition_id = UnicodeAttribute(range_key=True)
    organization_id = UnicodeAttribute()
    action = UnicodeAttribute()
    actor = UnicodeAttribute()
    at = UnicodeAttribute()
    evidence = JSONAttribute()
    mails: MapAttribute[str, Any] = MapAttribute(default=dict)  # type: ignore[no-untyped-call]
    announced_at = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)
    lease_holder = UnicodeAttribute(null=True)
    done: UnicodeSetAttribute = UnicodeSetAttribute(null=True)
    finished_at = UnicodeAttribute(null=True)


FOLLOW_UP_LEASE = Lease(AuditEntry.lease_until, AuditEntry.lease_holder)


class Registry:
    """Cached reads of organisations, apps and installations, each for `seconds`; absence is cached too.

    The cache is bounded by what it holds: `size` is a number of values, such as names in lists.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], size: int = CACHED_VALUES) -> None:
        self._cache: TTLCache[tuple[str, str] | ItemKey, object] = TTLCache(
            size, seconds, timer=clock, getsizeof=_weight
        )

    def organization(self, organization_id: str) -> Organization | None:
        """The organisation, or None if there is none with that id."""
        key = ItemKey(Organization, organization_id)
        return self._cached(key, lambda: find(Organization, organization_id))

    def app(self, app_id: str) -> App | None:
        """The app, or None if there is none with that id."""
        return self._cached(ItemKey(App, app_id), lambda: find(App, app_id))

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        """One installation, or None if there is none with that id."""
        key = "installation", f"{organization_id}#{installation_id}"
        return self._cached(key, lambda: find(Installation, organization_id, installation_id))

    def installations(self, organization_id: str, after: str | None = None) -> list[Installation]:
        """The first PAGE installations whose ids come after `after`, by their ids, whatever their status.

        If there are fewer than PAGE, they are the organisation's last. One that cannot be read has no `app_id`.
        """
        key = "installations", f"{organization_id}#{after or ''}"
        return self._cached(key, lambda: _page(organization_id, after))

    def lacks(self, key: ItemKey) -> bool:
        """Whether an organisation or app would have to be read."""
        return key not in self._cache

    def take_in(self, key: ItemKey, item: Model | None) -> None:
        """Keep an organisation or app that was just read; None if there is none with that key."""
        self._keep(key, item)

    def _cached(self, key: tuple[str, str] | ItemKey, read: Callable[[], T]) -> T:
        known = self._cache.get(key, self)
        if known is not self:
            return known  # type: ignore[return-value]
        value = read()
        self._keep(key, value)
        return value

    def _keep(self, key: tuple[str, str] | ItemKey, value: object) -> None:
        if _weight(value) <= self._cache.maxsize:  # cachetools refuses what could never fit
            self._cache[key] = value


def _page(organization_id: str, after: str | None) -> list[Installation]:
    later = None if after is None else Installation.installation_id > after
    found = Installation.query(organization_id, later, page_size=PAGE)
    return [*islice(rows_or_keys(found, Installation), PAGE)]


def _weight(value: object) -> int:
    """About how many values something from the registry holds: what takes the room is lists without a bound.

    A value takes about 100 bytes.
    """
    if isinstance(value, list):
        return 1 + sum(map(_weight, value))
    lists = (getattr(value, name, None) or () for name in ("events", "projects", "headers", "owners"))
    texts = (getattr(value, name, None) or "" for name in ("filter", "transform"))
    return 20 + sum(map(len, lists)) + sum(map(len, texts)) // 100


def directory(kind: str, after: str | None = None, limit: int | None = None) -> list[App]:
    """The first `limit` apps of a kind, or all, whose ids come after `after`. Rows of the index; no scan."""
    found = App.directory.query(kind, App.app_id > after if after else None, page_size=limit)
    return [*islice(rows(found, App), limit)]


M = TypeVar("M", bound=Model)


def find(model: type[M], key: str, sort_key: str | None = None, *, consistent: bool = False) -> M | None:
    """The item with that key, or None.

    Raises:
        UnreadableError: it is damaged.
    """
    try:
        return model.get(key, sort_key, consistent_read=consistent)
    except model.DoesNotExist:
        return None
    except UNREADABLE as error:
        raise UnreadableError(model, key if sort_key is None else (key, sort_key), error) from error
