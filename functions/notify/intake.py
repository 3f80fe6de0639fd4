"""A batch of queue messages: each event is fanned out into deliveries, goes on later, or is dead-lettered."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from bellhop import events, handled_events, newer
from bellhop.aws import TRY_SECONDS
from bellhop.budget import END_SECONDS, Budget
from bellhop.clock import rfc3339
from bellhop.deliveries import Delivery
from bellhop.events import MalformedEventError
from bellhop.newer import UnknownKindError
from bellhop.queues import MAX_BATCH_BYTES, OutgoingMessage, Queue
from bellhop.telemetry import Telemetry
from notify import continuation
from notify.duplicates import DUPLICATE, Duplicates
from notify.fanout import TRANSFORM_FAILED, FanOut, Hooks
from notify.outbox import Outbox
from notify.report import report

TURN = 10  # installations to which an event goes before the next event has its turn
LAST_TURN_SECONDS = 3.0  # of CPU for ten large deliveries, on the share of a processor that notify has
# A turn begins only if it, its last call, the continuations and the end fit into the time that is left.
STOP_SECONDS = LAST_TURN_SECONDS + 2 * TRY_SECONDS + END_SECONDS
STOP_SHARE = 0.75  # of the time, if that is less: with a short timeout, some is left to work in
TROUBLE_DELAY = 30  # seconds before what SQS refused, or the registry did not tell, is tried again
MAX_ATTRIBUTE = 1000  # characters of a dead letter's attribute


@dataclass(frozen=True)
class NotifyDependencies:
    """What notify's code is handed; `backoff` sleeps before SQS is called again.

    Without `duplicates`, copies of events are sent as well.
    """

    hooks: Hooks
    deliveries: Queue
    dead_letters: Queue
    events: Queue
    telemetry: Telemetry
    backoff: Callable[[int], None]
    now: Callable[[], float]  # Unix seconds
    budget: Budget = field(default_factory=Budget)
    duplicates: Duplicates | None = None


@dataclass(eq=False)
class _Work:
    """A message of the batch. It has no fan-out before its first turn, nor if it is malformed.

    `handled_at` (Unix seconds): the same event was fanned out before. `first`: the same event is in the batch.
    """

    message: dict[str, Any]
    fan_out: FanOut | None = None
    steps: Iterator[Delivery | None] = field(default_factory=lambda: iter(()))
    dead_lettered: bool = False
    unknown: UnknownKindError | None = None
    faulty: bool = False
    handled_at: float | None = None
    first: "_Work | None" = None

    @property
    def has_turns(self) -> bool:
        """Whether it takes part in the turns: it is neither a copy, nor is anything wrong with it."""
        copy = self.first is not None or self.handled_at is not None
        return not (copy or self.dead_lettered or self.unknown or self.faulty)

    @property
    def duplicate(self) -> bool:
        """Whether it is a copy of an event of which every delivery is on its queue."""
        first = self.first.fan_out if self.first else None
        return self.handled_at is not None or bool(first and first.done)

    @property
    def message_id(self) -> str:
        return str(self.message["messageId"])

    @property
    def names(self) -> dict[str, str]:
        """Its ids, for the log, as far as they are known."""
        event = self.fan_out.event if self.fan_out else None
        known = {"event_id": event.event_id, "organization_id": event.organization_id} if event else {}
        return {"message_id": self.message_id} | known


def process(
    messages: Iterable[dict[str, Any]], deps: NotifyDependencies, seconds_left: Callable[[], float]
) -> list[str]:
    """Handle a batch; return the ids of the messages that the queue is to deliver again.

    Policy: the events take turns, so that a large one keeps no other waiting. What does not fit into the time, and
    what the registry or the deliveries queue refused, goes on by a continuation, a message that says what is left.
    The event's own message is done once that is on the queue. An event of which nothing could be done goes back to
    the queue instead, which gives up after ten times. If notify dies, or the queue does not take the continuation,
    the event begins anew: what was enqueued is enqueued again, under the same webhook-id.

    Where duplicates are dropped, a copy of an event that was fanned out is done. A copy in the same batch waits
    for the first, and comes back if that is not done.
    """
    works = [_Work(message) for message in sorted(messages, key=_precedence)]
    with deps.budget.keeping(TRY_SECONDS):  # for the continuations
        _take_turns(works, deps, seconds_left)
    report([work.fan_out for work in works if work.fan_out], deps.telemetry)
    _tell_failed_transforms(works, deps.telemetry)
    returned = [*_not_begun(works, deps), *_continue(works, deps)]
    _end_duplicates(works, deps)
    received = [w for w in works if w.fan_out and not w.fan_out.resumed and w not in returned]
    if received:
        deps.telemetry.count("EventReceived", len(received))
    return sorted([work.message_id for work in returned] + _wait(works, deps))


def _precedence(message: dict[str, Any]) -> tuple[int, int]:
    # What came back goes first, so that no event is always the last; then the small ones, which need one turn.
    return -int(message["attributes"]["ApproximateReceiveCount"]), len(message["body"])


def _take_turns(works: Sequence[_Work], deps: NotifyDependencies, seconds_left: Callable[[], float]) -> None:
    outbox = Outbox(deps.deliveries, deps.backoff, deps.now, deps.telemetry)
    if deps.duplicates:
        _find_copies(works, outbox, deps, deps.duplicates)
    waiting = deque(work for work in works if work.has_turns)
    stop = min(STOP_SECONDS, STOP_SHARE * seconds_left())
    while waiting:
        work = waiting.popleft()
        if _turn(work, outbox, deps):
            waiting.append(work)
        if outbox.closed or seconds_left() < stop:
            break  # after a turn, not before, so that each invocation gets something done
    outbox.flush()


def _find_copies(works: Sequence[_Work], outbox: Outbox, deps: NotifyDependencies, duplicates: Duplicates) -> None:
    """Read all events of the batch, and find those that were fanned out before, or are in it twice.

    A continuation is no copy: it goes on where its event was left.
    """
    for work in works:
        _turn(work, outbox, deps, installations=0)
    begun = [(work, work.fan_out) for work in works if work.fan_out]
    known = duplicates.find([fan_out.event for _, fan_out in begun if not fan_out.resumed])
    firsts: dict[str, _Work] = {}
    for work, fan_out in begun:
        key = handled_events.key(fan_out.event)
        first = firsts.setdefault(key, work)
        if not fan_out.resumed:
            work.handled_at = known.get(key)
            work.first = first if first is not work else None


def _turn(work: _Work, outbox: Outbox, deps: NotifyDependencies, installations: int = TURN) -> bool:
    """Let an event go to the next installations; whether there may be more."""
    handled = 0
    try:
        fan_out = work.fan_out or _begin(work, deps)
        for delivery in islice(work.steps, installations):
            handled += 1
            if fan_out and delivery:
                outbox.add(fan_out, delivery)
    except UnknownKindError as unknown:
        work.unknown = unknown
        return False
    except Exception:  # noqa: BLE001 - the record boundary: one event's fault is not its neighbours'
        work.faulty = True
        deps.telemetry.error("event not handled: what is left will be retried by the queue", **work.names)
        return False
    return handled == installations


def _begin(work: _Work, deps: NotifyDependencies) -> FanOut | None:
    """The message's fan-out; None if it is malformed and is now in the dead-letter queue.

    Raises:
        UnknownKindError: it is a newer version's continuation.
    """
    cursor = continuation.decode(work.message.get("messageAttributes", {}))
    try:
        event = events.parse(work.message["body"])
    except MalformedEventError as error:
        _dead_letter(work.message, error, deps)
        work.dead_lettered = True
        return None
    work.fan_out = FanOut(event, deps.hooks, _sent_at(work.message), cursor)
    work.steps = work.fan_out.steps()
    return work.fan_out


def _sent_at(message: dict[str, Any]) -> float:
    return int(message["attributes"]["SentTimestamp"]) / 1000  # SQS counts milliseconds


def _not_begun(works: Iterable[_Work], deps: NotifyDependencies) -> list[_Work]:
    """The messages of which nothing was done: they go back to the queue."""
    idle = [w for w in works if not (w.dead_lettered or w.unknown or w.duplicate or _has_begun(w.fan_out))]
    for work in idle:
        if not work.faulty:  # that was logged with the fault
            deps.telemetry.warning("nothing of the event was enqueued: the queue will retry it", **work.names)
    return idle


def _has_begun(fan_out: FanOut | None) -> bool:
    return bool(fan_out and (fan_out.done or fan_out.progressed))


def _tell_failed_transforms(works: Iterable[_Work], telemetry: Telemetry) -> None:
    for fan_out in (work.fan_out for work in works if work.fan_out and work.fan_out.transform_faults):
        telemetry.warning(
            "transform failed: these installations do not get the event",
            event_id=fan_out.event.event_id,
            organization_id=fan_out.event.organization_id,
            event_name=fan_out.event.name,
            installations=fan_out.skips[TRANSFORM_FAILED],
            transform_faults=fan_out.transform_faults,
        )


def _end_duplicates(works: Iterable[_Work], deps: NotifyDependencies) -> None:
    """Tell which events were duplicates, and mark those that were fanned out now.

    An event that nobody got is not marked: published again, it may reach whoever was registered meanwhile.
    """
    if deps.duplicates is None:
        return
    begun = [(work, work.fan_out) for work in works if work.fan_out]
    for work, fan_out in begun:
        if work.duplicate:
            deps.telemetry.info(
                "event skipped as a duplicate: `bellhop resend --event` sends its webhooks again",
                **work.names,
                event_name=fan_out.event.name,
                reasons=DUPLICATE,
                fanned_out_at=rfc3339(datetime.fromtimestamp(work.handled_at or deps.now(), UTC)),
            )
            deps.telemetry.count(f"Skipped_{DUPLICATE}")
    done = [fan_out.event for _, fan_out in begun if fan_out.done and fan_out.cursor.enqueued]
    if done:
        deps.duplicates.mark(done)


def _wait(works: Iterable[_Work], deps: NotifyDependencies) -> list[str]:
    """Have a newer version's continuations wait for it; the ids of those that SQS did not take."""
    unknown = [(work.message, work.unknown) for work in works if work.unknown]
    return newer.wait(unknown, lambda copies: deps.events.send_all(copies, deps.backoff), deps.telemetry)


def _continue(works: Iterable[_Work], deps: NotifyDependencies) -> list[_Work]:
    """Send a continuation for each event that has begun and is not done; return those that SQS did not take."""
    begun = [(work, work.fan_out) for work in works if work.fan_out and work.fan_out.progressed]
    unfinished = [(work, fan_out) for work, fan_out in begun if not fan_out.done]
    try:
        rejected = deps.events.send_all([_continuation(*each) for each in unfinished], deps.backoff)
    except Exception:  # noqa: BLE001 - SQS did not respond: see the policy of `process`
        rejected = set(range(len(unfinished)))
        deps.telemetry.error("continuations not enqueued: their events will begin anew", events=len(unfinished))
    for number, (work, fan_out) in enumerate(unfinished):
        deps.telemetry.info(
            "event not finished: the queue will retry it from its beginning"
            if number in rejected
            else "event not finished: a continuation was enqueued",
            **work.names,
            enqueued=fan_out.cursor.enqueued,
            refused=len(fan_out.cursor.refused),
            after=fan_out.cursor.after,
        )
    if len(unfinished) > len(rejected):
        deps.telemetry.count("EventContinued", len(unfinished) - len(rejected))
    return [unfinished[number][0] for number in rejected]


def _continuation(work: _Work, fan_out: FanOut) -> OutgoingMessage:
    troubled = fan_out.refused or work.faulty
    return OutgoingMessage(
        work.message["body"],
        group=fan_out.event.organization_id,
        delay=TROUBLE_DELAY if troubled else 0,
        attributes=continuation.encode(fan_out.cursor),
    )


def _dead_letter(message: dict[str, Any], error: MalformedEventError, deps: NotifyDependencies) -> None:
    # The body stays out of the log, because it is the customer's data.
    explained = OutgoingMessage(
        message["body"], attributes={"field": _attribute(error.field), "reason": _attribute(error.reason)}
    )
    if explained.size > MAX_BATCH_BYTES:  # beside the largest body that a queue takes, nothing has room
        explained = OutgoingMessage(message["body"])
    deps.dead_letters.send(explained)
    deps.telemetry.warning(
        "event malformed: it was sent to the dead-letter queue",
        message_id=message["messageId"],
        **error.names,
        field=error.field,
        reason=error.reason,
    )
    deps.telemetry.count("EventMalformed")


def _attribute(text: str) -> str:
    # SQS refuses an attribute that is empty or has control characters, and these quote what the publisher wrote.
    return text.encode("unicode_escape").decode()[:MAX_ATTRIBUTE] or '""'
