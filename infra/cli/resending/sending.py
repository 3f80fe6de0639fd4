"""Sending chosen deliveries once more, at a rate. After an interruption another run goes on where it ended."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from bellhop import attempts, deliveries, resends, successes
from bellhop.attempts import DeliveryRecord
from bellhop.backoff import Backoff
from bellhop.deliveries import Delivery, Retry
from bellhop.queues import MAX_ENTRIES, OutgoingMessage, Queue
from bellhop.registry import DISABLED, App, Installation, find
from bellhop.subscription import refusal
from infra.cli.delivered import Kept
from infra.cli.resending.selection import Candidate

RESENT = "resent"
SKIPPED = "resent before"  # by the resend that this one goes on with
BUSY = "being attempted, or changed meanwhile"
NOT_KEPT = "its body is not kept any more"
OFF, UNREGISTERED = "its app is switched off", "its app is not registered any more"
NOT_TAKEN = "the retry queue did not take it"

AT_ONCE = 10  # records written side by side
APP_SECONDS = 5.0  # for which an app's state is used

_BACKOFF_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a delivery: RESENT, or why it was left; `retry` is what has deliver attempt it."""

    found: Candidate
    outcome: str
    retry: Retry | None = None


@dataclass
class Resend:
    """One resend on its way. `begun`: when the resend began that this one goes on with.

    The record is written before its message is sent. After a death in between, whoever goes on finds the attempt
    due and not made, and sends the message once more; of two messages deliver drops the second.
    """

    retries: Queue
    rate: float
    now: Callable[[], datetime]
    begun: datetime | None = None
    sleep: Callable[[float], None] = time.sleep
    counts: Counter[str] = field(default_factory=Counter)
    _apps: dict[str, tuple[float, App | None]] = field(default_factory=dict)
    _installations: dict[tuple[str, str], Installation | None] = field(default_factory=dict)

    def run(self, chosen: Iterable[Candidate]) -> Iterator[list[Result]]:
        """Send what was chosen, a few at a time; what became of each."""
        at_a_time = max(1, min(MAX_ENTRIES, int(self.rate)))
        waiting, due = iter(chosen), self.now().timestamp()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while group := list(islice(waiting, at_a_time)):
                self.sleep(max(0.0, due - self.now().timestamp()))
                results = self._sent(list(pool.map(self._prepare, group)))
                self.counts.update(result.outcome for result in results)
                sent = sum(result.retry is not None for result in results)
                due = max(due, self.now().timestamp() - 1) + sent / self.rate
                yield results

    def _sent(self, results: Sequence[Result]) -> list[Result]:
        messages = [
            OutgoingMessage(deliveries.encode(result.retry), result.found.app_id)
            for result in results
            if result.retry
        ]
        refused = self.retries.send_all(messages, Backoff(_BACKOFF_SECONDS))
        ready = (result for result in results if result.retry)
        untaken = {id(result) for number, result in enumerate(ready) if number in refused}
        return [Result(result.found, NOT_TAKEN) if id(result) in untaken else result for result in results]

    def _prepare(self, found: Candidate) -> Result:
        """Make a delivery's next attempt due, or say why not."""
        app = self._app(found.app_id)
        if app is None or app.state == DISABLED:
            return Result(found, OFF if app else UNREGISTERED)
        if found.kept is None:
            return self._reopen(found, found.record, app)
        known = attempts.load(found.delivery_id)
        if known and not self._is_expired(known):
            return self._reopen(found, known, app)
        return self._open(found, found.kept, app)

    def _open(self, found: Candidate, kept: Kept, app: App) -> Result:
        delivery = successes.kept(kept.page, kept.place, kept.number, kept.row)
        if delivery is None:
            return Result(found, NOT_KEPT)
        reason = self._refusal(delivery, app)
        if reason:
            return Result(found, reason)
        if not resends.open_delivered(delivery, found.attempts_made, self.now()):
            return Result(found, BUSY)
        return Result(found, RESENT, resends.message(delivery, found.attempts_made))

    def _reopen(self, found: Candidate, record: DeliveryRecord | None, app: App) -> Result:
        if record is None or self._is_expired(record):
            return Result(found, NOT_KEPT)
        retry = resends.message(record, int(record.attempts_made))
        if self.begun and float(record.resent_at or 0.0) >= self.begun.timestamp():
            return Result(found, RESENT, retry) if resends.is_unmade(record) else Result(found, SKIPPED)
        reason = self._refusal(record, app)
        if reason:
            return Result(found, reason)
        return Result(found, RESENT, retry) if resends.make_due(record, self.now()) else Result(found, BUSY)

    def _is_expired(self, record: DeliveryRecord) -> bool:
        # DynamoDB deletes it hours or days late.
        return float(record.expires_at) <= self.now().timestamp()

    def _app(self, app_id: str) -> App | None:
        read_at, app = self._apps.get(app_id, (0.0, None))
        now = self.now().timestamp()
        if read_at + APP_SECONDS < now:
            app = find(App, app_id, consistent=True)
            self._apps[app_id] = now, app
        return app

    def _refusal(self, delivery: Delivery | DeliveryRecord, app: App) -> str | None:
        """Why its installation does not want it any more; deliver asks again before it attempts it."""
        key = delivery.organization_id, delivery.installation_id
        if key not in self._installations:
            self._installations[key] = find(Installation, *key)
        return refusal(delivery.event, delivery.project_id, self._installations[key], app)
