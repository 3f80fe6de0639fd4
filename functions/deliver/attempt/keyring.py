"""What the apps keep secret, read through a cache."""

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache
from pynamodb.models import Model

from bellhop.registry import App, Registry, find
from bellhop.secrets import SigningSecret, headers_of
from bellhop.tables import ItemKey
from deliver.attempt.signing import Keys

CACHED = 10_000  # apps; their headers and credentials have 10 KiB at most, and few have any


@dataclass(frozen=True, slots=True)
class _Known:
    """A row that was read, None where there is none, and the app with which it was read."""

    row: SigningSecret | None
    app: App


class Keyring:
    """What is changed takes effect when the app is read again, since its row here is then read again too.

    So an app whose headers were moved out of its own row is not without them while both are cached. `time` (Unix
    seconds) decides whether an overlap has ended.
    """

    def __init__(self, registry: Registry, time: Callable[[], float]) -> None:
        self._registry, self._time = registry, time
        self._cache: LRUCache[str, _Known] = LRUCache(CACHED)

    def keys(self, app: App) -> Keys | None:
        """The app's secrets and headers, or None when it has no secret."""
        known = self._cache.get(app.app_id)
        if known is None or known.app is not app:
            known = self._cache[app.app_id] = _Known(find(SigningSecret, app.app_id), app)
        row = known.row
        if row is None:
            return None
        return Keys(row.secret, row.live_previous(self._time()), headers_of(app, row), row.oauth2)

    def lacks(self, key: ItemKey) -> bool:
        """Whether an app's secrets would have to be read, as they have to when the app has."""
        return key.hash_key not in self._cache or self._registry.lacks(ItemKey(App, key.hash_key))

    def take_in(self, key: ItemKey, item: Model | None) -> None:
        """Keep an app's secrets that were just read, with the app or after it; None if it has none."""
        app_key = ItemKey(App, key.hash_key)
        if not self._registry.lacks(app_key):
            app = self._registry.app(key.hash_key)
            if app:
                self._cache[key.hash_key] = _Known(item if isinstance(item, SigningSecret) else None, app)
