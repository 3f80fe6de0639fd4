"""Replaying what is held of an app: a chain of messages on the Transitions queue, each of which sends a page.

A page is sent to the Retries lane first and taken off the list after, so a death in between sends it again:
deliver claims each delivery on its record and drops whatever comes a second time. After an app was switched on,
some process may still know it as off and park; so passes are repeated until an empty one that began late enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from bellhop import attempts, deliveries, queues
from bellhop.attempts import PARKED, DeliveryRecord
from bellhop.deliveries import Retry
from bellhop.queues import MAX_DELAY, OutgoingMessage
from bellhop.registry import ENABLED, App, find
from bellhop.telemetry import Telemetry
from health.messages import Replay

PAGE = 100  # deliveries that one message looks at
PASS_SECONDS = 15.0  # between the end of a pass and the next


class ReplayError(Exception):
    """A page could not be sent whole; its message must come back."""


@dataclass(frozen=True)
class ReplayDependencies:
    """What replaying works with. `retries` sends to the Retries queue and returns the positions not taken."""

    retries: Callable[[Sequence[OutgoingMessage]], set[int]]
    send: Callable[[Replay, int], None]
    telemetry: Telemetry
    now: Callable[[], datetime]


def step(message: Replay, deps: ReplayDependencies) -> None:
    """Send a page and the message for the next; nothing where the app has been switched again meanwhile.

    Raises:
        ReplayError: SQS did not take all of the page.
    """
    app = find(App, message.app_id, consistent=True)
    if app is None or app.state != ENABLED or int(app.generation) != message.generation:
        deps.telemetry.warning("replay ended: the app is off again, or gone", **_names(message))
        return
    rate = paced(app, message.rate)
    page = attempts.replayable(message.app_id, message.after, PAGE)
    chosen = [record for record in page if _wanted(record, message)]
    _send(chosen, rate, deps)
    after = page[-1].replayable_at if page else None
    following, wait = next_step(message, len(chosen), after, rate, deps.now().timestamp())
    if following:
        deps.send(following, wait)
    else:
        deps.telemetry.info("replay finished", **_names(message))
        deps.telemetry.count("ReplayFinished")


def paced(app: App, rate: float) -> float:
    """The rate at which an app is really sent to: its own limit, if that is less."""
    return min(rate, float(app.max_per_second or rate))


def next_step(done: Replay, chosen: int, after: str | None, rate: float, now: float) -> tuple[Replay | None, int]:
    """The message after `done`, whose page ended at `after` (None: it was empty), and its delay in seconds."""
    going = replace(done, after=after, found=done.found + chosen, sent=done.sent + chosen)
    if after is not None:
        return going, queues.delay(chosen / rate)
    if not going.found and done.began >= done.settles_at:
        return None, 0
    wait = queues.delay(max(PASS_SECONDS, done.settles_at - now))
    if not going.found and now + wait < done.settles_at:
        return going, wait  # nothing to look for before that
    return replace(going, began=now + wait, found=0), wait


def _wanted(record: DeliveryRecord, message: Replay) -> bool:
    # What is exhausted again was replayed already: without that, a replay to a broken endpoint would never end.
    begun = datetime.fromtimestamp(message.settles_at, UTC).isoformat(timespec="milliseconds")
    return record.state in message.states and (record.state == PARKED or str(record.replayable_at) < begun)


def _send(records: Sequence[DeliveryRecord], rate: float, deps: ReplayDependencies) -> None:
    messages = [_outgoing(record, min(MAX_DELAY, int(n / rate))) for n, record in enumerate(records)]
    failed = deps.retries(messages) if messages else set()
    for number, record in enumerate(records):
        if number not in failed:
            attempts.unlist(record.delivery_id, str(record.replayable_at))
    deps.telemetry.count("DeliveryReplayed", len(records) - len(failed))
    if failed:
        raise ReplayError(f"{len(failed)} of {len(records)} reminders were not taken by the queue")


def _outgoing(record: DeliveryRecord, delay: int) -> OutgoingMessage:
    due = Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1, replay=True)
    return OutgoingMessage(deliveries.encode(due), record.app_id, delay)


def _names(message: Replay) -> dict[str, object]:
    return {"app_id": message.app_id, "generation": message.generation, "sent": message.sent}
