"""Replaying an app's deliveries: a chain of messages on the Transitions queue, each of which sends one page.

What is sent stays on the list of what can be replayed until deliver has attempted it, so nothing is lost with a
message; deliver claims each delivery on its record and drops the second message. After an app was switched on, or
its pause ended, a process may still know it as it was, and park; so passes over what was parked since the last one
are repeated until an empty one that began late enough.

While what it sent is not attempted, a replay goes on slowly: all of that would go out at once when the retry queue
catches up, and not at the replay's rate. Its own list says so, whatever else waits on that queue.

In the slow start after a pause it sends as little as deliver would let out: the rest would be deferred, each by a
write, and met the next pause if the endpoint is unwell again.

Of an app that others may have installed, each pass sends what stands under its first key, and then the rest.
Under the first one no organisation has much, so whoever has a flood parked delays its own deliveries, and hardly
anybody else's.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bellhop import app_lists, circuits, queues
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord
from bellhop.circuits import Circuit
from bellhop.deliveries import Retry
from bellhop.queues import MAX_DELAY
from bellhop.registry import ENABLED, INTERNAL, App, find
from bellhop.replays import Replay
from bellhop.slow_start import start_rate
from health import pages
from health.dependencies import HealthDependencies
from health.pages import BEHIND_SECONDS, PAGE, WORTH_SECONDS

PASS_SECONDS = 15.0  # from the end of a pass to the next
LATE_SECONDS = 60.0  # how much later than its time a place may come into the list: a function's timeout, the index


class ReplayError(Exception):
    """Not all of a page could be sent; its message must come back."""


def step(message: Replay, deps: HealthDependencies) -> None:
    """Send a page, and the message for the next one; send nothing if the app was switched, or a person stopped it.

    What is parked of an app that is not registered any more is sent too: deliver ends each delivery, with a log
    line, where it would otherwise expire unseen.

    Raises:
        ReplayError: SQS did not take the whole page.
    """
    app = find(App, message.app_id, consistent=True)
    circuit = circuits.load(message.app_id)
    reason = _end(message, app, circuit)
    if reason:
        deps.telemetry.warning(f"replay ended: {reason}", **_names(message))
        _note_end(message, deps, reason)
        return
    now = deps.now().timestamp()
    rate = _pace(app, circuit, message.rate, now)
    if not message.passes and message.after is None:  # whoever sent it may have a clock that is ahead
        message = replace(message, began=min(message.began, now))
    # Before the page, so that where this fails nothing was sent.
    until = now + MAX_DELAY + deps.overdue_seconds
    circuits.note_replay(message.app_id, until, message.started, message.sent, rate)
    apart = app is None or app.kind != INTERNAL
    behind = _is_behind(message, rate, apart=apart)
    exhausted = EXHAUSTED in message.states and not message.passes
    size, since = pages.page_size(rate), message.since
    page = app_lists.replayable(message.app_id, message.after, size, since=since, exhausted=exhausted, apart=apart)
    chosen = [record for record in page if _is_wanted(record, message)]
    _send_page(chosen, rate, deps)
    after = app_lists.cursor(page[-1], apart=apart) if page else None
    following, wait = next_step(message, len(chosen), after, rate, now)
    if following:
        deps.send_later(following, max(wait, BEHIND_SECONDS) if behind else wait)
        return
    _note_end(message, deps)
    deps.telemetry.info("replay finished", **_names(message))
    deps.telemetry.count("ReplayFinished")


def _end(message: Replay, app: App | None, circuit: Circuit) -> str | None:
    """Why the replay ends before everything is sent; None where it goes on."""
    if app and (app.state != ENABLED or int(app.generation) != message.generation):
        return "the app was switched off or on meanwhile; the rest stays replayable"
    if message.started <= circuits.replays_stopped(circuit):
        return "a person stopped it; the rest stays replayable"
    if app and circuits.paused_since(circuit, int(app.generation)) is not None:
        return "the app is paused; what is parked is released when its pause ends, the rest stays replayable"
    return None


def _is_behind(message: Replay, rate: float, *, apart: bool) -> bool:
    """Whether much of what stands before the cursor, and so was sent, is still listed."""
    much = math.ceil(max(PAGE, WORTH_SECONDS * rate))
    until = message.after or message.since
    return until is not None and app_lists.count_listed(message.app_id, until, much, apart=apart) >= much


def _note_end(message: Replay, deps: HealthDependencies, reason: str | None = None) -> None:
    circuits.end_replay(message.app_id, message.started, message.sent, deps.now().timestamp(), reason)


def _pace(app: App | None, circuit: Circuit, rate: float, now: float) -> float:
    """Deliveries per second now: after a pause, no more than deliver would let out, and not defer."""
    closed_at = circuits.closed_at(circuit, int(app.generation)) if app else None
    return min(effective_rate(app, rate), start_rate(closed_at, now))


def effective_rate(app: App | None, rate: float) -> float:
    """Deliveries per second: `rate`, or the app's own limit if that is lower."""
    return min(rate, float(app.max_per_second or rate)) if app else rate


def next_step(done: Replay, chosen: int, after: str | None, rate: float, now: float) -> tuple[Replay | None, int]:
    """The message that follows `done`, and its delay in seconds; None when the replay is finished.

    The page of `done` ended at the cursor `after`, None where it was empty; `chosen` of its deliveries were sent.
    """
    sent = replace(done, after=after, found=done.found + chosen, sent=done.sent + chosen)
    if after is not None:
        return sent, queues.delay(chosen / rate)
    if not sent.found and done.began >= done.settles_at:
        return None, 0
    wait = queues.delay(max(PASS_SECONDS, done.settles_at - now))
    place = app_lists.place_at(datetime.fromtimestamp(done.began - LATE_SECONDS, UTC))
    if not sent.found and now + wait < done.settles_at:
        # A pass before that could not be the last. Nothing was found, so the further keys may be read from their
        # beginning: in the first pass nothing else can be said to version 0.1.0.
        return replace(sent, after=place), wait
    began, passes = now + wait, done.passes + 1
    return replace(sent, began=began, found=0, passes=passes, started_at=done.started, since=place), wait


def _is_wanted(record: DeliveryRecord, message: Replay) -> bool:
    # Exhausted since the replay began means that the replay itself failed: sending it again would never end.
    began = datetime.fromtimestamp(message.began, UTC).isoformat(timespec="milliseconds")
    if app_lists.is_parked(record):
        return PARKED in message.states
    return record.state in message.states and app_lists.listed_since(record) < began


def _send_page(records: Sequence[DeliveryRecord], rate: float, deps: HealthDependencies) -> None:
    failed = pages.send([_retry(record) for record in records], rate, deps)
    deps.telemetry.count("DeliveryReplayed", len(records) - failed)
    if failed:
        raise ReplayError(f"SQS did not take {failed} of {len(records)} retries")


def _retry(record: DeliveryRecord) -> Retry:
    number, owner = int(record.attempts_made) + 1, app_lists.owner(record)
    return Retry(record.delivery_id, record.app_id, number, replay=True, organization_id=owner)


def _names(message: Replay) -> dict[str, object]:
    return {"app_id": message.app_id, "generation": message.generation, "sent": message.sent}
