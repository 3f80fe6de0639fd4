"""The apps' signing secrets, read through a cache."""

from collections.abc import Callable

from cachetools import TTLCache
from pynamodb.models import Model

from bellhop.registry import find
from bellhop.secrets import SigningSecret
from bellhop.tables import ItemKey
from deliver.attempt.signing import Keys

CACHED = 10_000  # apps


class Keyring:
    """A secret that is changed, added or taken away takes effect within `seconds`.

    `monotonic` measures a secret's time in the cache; `time` (Unix seconds) decides whether an overlap has ended.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float], time: Callable[[], float]) -> None:
        self._cache: TTLCache[str, SigningSecret | None] = TTLCache(CACHED, seconds, timer=monotonic)
        self._time = time

    def keys(self, app_id: str) -> Keys | None:
        """The app's secrets, or None when it has none."""
        try:
            secret = self._cache[app_id]
        except KeyError:
            secret = self._cache[app_id] = find(SigningSecret, app_id)
        return Keys(secret.secret, secret.live_previous(self._time())) if secret else None

    def lacks(self, key: ItemKey) -> bool:
        """Whether an app's secrets would have to be read."""
        return key.hash_key not in self._cache

    def take_in(self, key: ItemKey, item: Model | None) -> None:
        """Keep an app's secrets that were just read; None if it has none."""
        self._cache[key.hash_key] = item if isinstance(item, SigningSecret) else None
