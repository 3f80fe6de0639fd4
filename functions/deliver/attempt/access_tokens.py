"""The access tokens of a process, and the attempts that are made with one.

A token is kept in memory, for its app, the app's generation and the client that asked for it: what is another of
these gets another token. Attempts of a batch that need the same one ask once, and wait for it together.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import NamedTuple

from cachetools import LRUCache

from bellhop.registry import App
from deliver.attempt import oauth2
from deliver.attempt.network import Attempted
from deliver.attempt.oauth2 import AccessToken, Client
from deliver.attempt.signing import Keys
from deliver.dependencies import Poster, Sent, Webhook
from deliver.http import hub
from deliver.http.response import TIMEOUT, Response, SendFailure

KNOWN = 1000  # tokens, of 7 KiB at most; few have more than one
# An endpoint that refuses a token that was made just now will refuse the next one too. So it cannot have the token
# endpoint asked for every webhook.
REFUSED_SECONDS = 30.0


class _Holder(NamedTuple):
    """Whose token it is."""

    app_id: str
    generation: int
    client: Client


@dataclass(frozen=True, slots=True)
class _Asked:
    """What asking for a token ended with, when that began, and what came of the request."""

    token: AccessToken | SendFailure
    at: float
    request: Attempted


class AccessTokens:
    """Posts with tokens. `clock` (Unix seconds) goes on while the function is frozen. For one thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: LRUCache[_Holder, _Asked] = LRUCache(KNOWN)
        self._asking: dict[_Holder, Future[_Asked]] = {}

    def post(
        self,
        transport: Poster,
        app: App,
        keys: Keys,
        webhook: Webhook,
        seconds: float,
        *,
        new: bool = False,
    ) -> Sent:
        """POST a webhook to an app whose `keys` have `oauth2`, with a token; both within `seconds`.

        The token has half of that time at most, so that a token endpoint never leaves the endpoint too little.

        With a `new` one where a person asks, as a kept one may work for an hour after its token endpoint began to
        refuse the app.

        Policy: without a token nothing is posted, and the attempt failed. So it did where the endpoint refuses the
        token, which is forgotten: the next attempt asks for another.

        Raises:
            OurFaultError: see Transport.post.
        """
        until = time.monotonic() + seconds
        holder = _Holder(app.app_id, int(app.generation), Client.of(keys.oauth2 or {}))
        kept = None if new else self._valid(holder)
        asked = kept or self._wait(holder, seconds / 2) or self._ask(transport, holder, seconds / 2)
        token, hidden, requests = asked.token, holder.client.secrets, () if kept else (asked.request,)
        if isinstance(token, SendFailure):
            return Sent(token, replace(keys, hidden=hidden), requests)
        headers = webhook.headers | {"Authorization": f"Bearer {token.value}"}
        outcome = transport.post(app.app_id, app.url, headers, webhook.body, until - time.monotonic())
        if isinstance(outcome, Response) and outcome.status == HTTPStatus.UNAUTHORIZED:
            self._forget(holder, asked)
        requests = (*requests, Attempted(app.app_id, app.url, outcome))
        return Sent(outcome, replace(keys, hidden=(*hidden, token.value)), requests)

    def _valid(self, holder: _Holder) -> _Asked | None:
        known = self._known.get(holder)
        if known and isinstance(known.token, AccessToken) and 0 <= self._clock() - known.at < known.token.seconds:
            return known
        return None

    def _wait(self, holder: _Holder, seconds: float) -> _Asked | None:
        """What another attempt gets that asks now, if one does; within this attempt's own time."""
        future = self._asking.get(holder)
        if future is None:
            return None
        try:
            return hub.result(future, seconds)
        except TimeoutError:
            return self._judged(
                holder, SendFailure(TIMEOUT, "no token came within half of the deadline"), self._clock()
            )

    def _ask(self, transport: Poster, holder: _Holder, seconds: float) -> _Asked:
        future, client, at = Future[_Asked](), holder.client, self._clock()
        self._asking[holder] = future
        try:
            outcome = transport.post(holder.app_id, client.token_url, client.headers, client.body, seconds)
            asked = self._judged(holder, outcome, at)
        except BaseException as error:  # also where the hub ends this attempt: nobody may wait for it any more
            future.set_exception(error)
            raise
        finally:
            del self._asking[holder]
        if isinstance(asked.token, AccessToken):
            self._known[holder] = asked
        future.set_result(asked)
        return asked

    def _judged(self, holder: _Holder, outcome: Response | SendFailure, at: float) -> _Asked:
        request = Attempted(holder.app_id, holder.client.token_url, outcome)
        return _Asked(oauth2.read(outcome, holder.client), at, request)

    def _forget(self, holder: _Holder, refused: _Asked) -> None:
        if self._known.get(holder) is refused and self._clock() - refused.at >= REFUSED_SECONDS:
            del self._known[holder]
