"""One batch, from queue messages to acknowledgements: begin the attempts, post them all at once, write everything.

The three stages never overlap. What was written while posts still run would hold them up, and could make a healthy
endpoint miss its deadline; and so no client of AWS is used by two at a time.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bellhop import deliveries, outcomes, successes
from bellhop.attempts import Attempt
from bellhop.aws import TRY_SECONDS
from bellhop.budget import END_SECONDS
from bellhop.deliveries import Delivery, Retry
from bellhop.outcomes import OutcomeDelta
from bellhop.registry import DISABLED
from deliver.attempt import chain, ending, ping, signing, verdict
from deliver.attempt.verdict import Verdict
from deliver.circuit import admission
from deliver.dependencies import DeliverDependencies, InternalError, Invocation, PendingAttempt, PostResult
from deliver.http.hub import Hub
from deliver.http.response import SendFailure

# What is kept of the invocation after the last POST, for each step in turn: the records and next retries, which
# decide; the counters; the log of successes. In each, one operation may be silent for a whole try.
COUNT_SECONDS = LOG_SECONDS = TRY_SECONDS
MARGIN_SECONDS = TRY_SECONDS + COUNT_SECONDS + LOG_SECONDS + END_SECONDS
LOGGED = ("event_id", "delivery_id", "n", "status", "ms")  # of each success, in the batch's log line


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message of the Deliveries or the Retries queue, parsed."""

    message_id: str
    receive_count: int
    content: Delivery | Retry

    @property
    def ping(self) -> Delivery | None:
        """The ping that this message is, if it is one."""
        return self.content if isinstance(self.content, Delivery) and self.content.ping else None


@dataclass(frozen=True, slots=True)
class Success:
    """A delivered webhook, as a row of the log; `recorded` says that its own record has that row already."""

    app_id: str
    row: dict[str, Any]
    recorded: bool


@dataclass(slots=True)
class Batch:
    """What a batch adds up to. `returned`: ids of the messages that their queue must deliver again."""

    returned: list[str] = field(default_factory=list)
    deltas: list[OutcomeDelta] = field(default_factory=list)
    successes: list[Success] = field(default_factory=list)


# An attempt with the id of the message that it is made for.
Begun = tuple[str, PendingAttempt]
# None where no time was left to make the attempt; an exception is a fault of ours.
Finished = tuple[str, PendingAttempt, PostResult | Exception | None]


def process(messages: Iterable[dict[str, Any]], deps: DeliverDependencies, invocation: Invocation) -> list[str]:
    """Handle a batch; return the ids of the messages that their queue must deliver again.

    Policy: whatever an endpoint does is written down for its delivery, and the message is done. A fault of ours
    returns the one message it touched, and is never counted against the app. When the counters or the log of
    successes cannot be written, the deliveries stay done: sending webhooks twice would be worse.
    """
    batch = Batch()
    with invocation.budget.keeping(deps.deadline + MARGIN_SECONDS - END_SECONDS):
        begun = _begin_all(_read_all(messages, deps, batch), deps, batch)
    finished = _post_all(begun, deps, invocation)
    with invocation.budget.keeping(COUNT_SECONDS + LOG_SECONDS):
        _write_results(finished, deps, batch)
    with invocation.budget.keeping(LOG_SECONDS):
        deps.parking.count()
        _count(deps.buffer.due(batch.deltas), deps)
    _log_successes(batch.successes, deps)
    return sorted(batch.returned)


# ---- Begin: which attempts the messages ask for


def _read_all(messages: Iterable[dict[str, Any]], deps: DeliverDependencies, batch: Batch) -> list[QueueMessage]:
    read = []
    for message in messages:
        message_id = message["messageId"]
        try:
            count = int(message["attributes"]["ApproximateReceiveCount"])
            read.append(QueueMessage(message_id, count, deliveries.decode(message["body"])))
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "message unreadable: the queue will deliver it again, then move it to its dead-letter queue",
                message_id=message_id,
            )
            batch.returned.append(message_id)
    return read


def _begin_all(messages: Sequence[QueueMessage], deps: DeliverDependencies, batch: Batch) -> list[Begun]:
    # A person waits for a ping, so neither the circuit nor the rate limit is asked.
    begun = _begin_each([message for message in messages if message.ping], deps, batch)
    apps: dict[str, list[QueueMessage]] = {}
    for message in messages:
        if not message.ping:
            apps.setdefault(message.content.app_id, []).append(message)
    for app_id, of_app in apps.items():
        begun += _begin_app(app_id, of_app, deps, batch)
    return begun


def _begin_app(app_id: str, messages: list[QueueMessage], deps: DeliverDependencies, batch: Batch) -> list[Begun]:
    try:
        admitted, trial = admission.admit(deps.registry.app(app_id), [m.content for m in messages], deps)
    except Exception:  # noqa: BLE001 - the registry or the circuits do not respond: this app's messages come back
        deps.telemetry.error(
            "app or circuit not read: the queue will deliver the app's messages again",
            app_id=app_id,
            number=len(messages),
        )
        batch.returned += [message.message_id for message in messages]
        return []
    begun = _begin_each(messages[: admitted.count], deps, batch)
    late = messages[admitted.count :]
    failed = admission.defer([(message.content, message.receive_count) for message in late], admitted, deps)
    batch.returned += [late[position].message_id for position in failed]
    return [(message_id, replace(pending, trial=trial)) for message_id, pending in begun]


def _begin_each(messages: Iterable[QueueMessage], deps: DeliverDependencies, batch: Batch) -> list[Begun]:
    begun = []
    for message in messages:
        try:
            pending = _begin(message, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "attempt not begun: the queue will deliver its message again",
                message_id=message.message_id,
                delivery_id=message.content.delivery_id,
            )
            batch.returned.append(message.message_id)
        else:
            begun += [(message.message_id, pending)] if pending else []
    return begun


def _begin(message: QueueMessage, deps: DeliverDependencies) -> PendingAttempt | None:
    if message.ping:
        return ping.begin(message.ping, deps)
    pending = chain.begin(message.content, message.receive_count, deps)
    if pending and pending.app.state == DISABLED:
        admission.park(pending, deps)
        return None
    return pending


# ---- Post: all at once


def _post_all(begun: Sequence[Begun], deps: DeliverDependencies, invocation: Invocation) -> list[Finished]:
    """Make the attempts side by side; return each with its result, in the order in which they finish."""
    finished, hub = list[Finished](), Hub[Finished]()
    with closing(hub):
        for item in begun:
            hub.start(partial(_attempt, item, deps, invocation))
        while ended := hub.wait():
            finished += ended
    return finished


def _attempt(item: Begun, deps: DeliverDependencies, invocation: Invocation) -> Finished:
    try:
        return *item, _post(item[1], deps, invocation)
    except Exception as error:  # noqa: BLE001 - a fault of ours, handed to the record boundary in process()
        return *item, error


def _post(pending: PendingAttempt, deps: DeliverDependencies, invocation: Invocation) -> PostResult | None:
    if invocation.time_left() < deps.deadline + MARGIN_SECONDS:
        return None
    at, request_id = deps.now(), deps.token()
    headers = signing.headers(pending.delivery, pending.keys, request_id, int(at.timestamp()), pending.app.headers)
    outcome = deps.transport.post(
        pending.app.app_id, pending.app.url, headers, pending.delivery.body, deps.deadline
    )
    return PostResult(outcome, at, round((deps.now() - at).total_seconds() * 1000), request_id)


# ---- Write: the records, the next attempts, the counters and the log of successes


def _write_results(finished: Iterable[Finished], deps: DeliverDependencies, batch: Batch) -> None:
    for message_id, pending, result in finished:
        try:
            _write_result(pending, result, deps, batch)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "attempt not finished: the queue will deliver its message again",
                message_id=message_id,
                **pending.names(),
            )
            batch.returned.append(message_id)


def _write_result(
    pending: PendingAttempt, result: PostResult | Exception | None, deps: DeliverDependencies, batch: Batch
) -> None:
    if isinstance(result, Exception):
        # Policy: no endpoint is to blame. Nothing is counted; the message comes back and finds its attempt free.
        deps.telemetry.count("OurFault")
        chain.give_back(pending)
        raise result
    if result is None:
        chain.give_back(pending)
        raise InternalError("no time left in this invocation for another attempt")
    if pending.delivery.ping:
        ping.write_result(pending, result, deps)
        return
    judgement = verdict.judge(result.outcome, deps.now())
    delivered = judgement.verdict is Verdict.DELIVERED
    attempt = _attempt_row(pending.number, judgement.result, result)
    admission.finish_trial(pending, deps, succeeded=delivered)
    next_step = ending.write(pending, judgement, attempt, deps)
    # Counted before the next retry is sent: if that fails, the message comes back and finds the record ahead, so
    # this is the only chance to count the attempt.
    delta = ending.outcome_delta(pending, judgement, attempt)
    if delta:
        batch.deltas.append(delta)
    ending.send(next_step, deps)
    if delivered:
        row = attempt.row() | _names(pending.delivery)
        batch.successes.append(Success(pending.delivery.app_id, row, recorded=pending.record is not None))


def _attempt_row(number: int, result_name: str, result: PostResult) -> Attempt:
    outcome = result.outcome
    when = (number, result.at, result.milliseconds, result.request_id, result_name)
    if isinstance(outcome, SendFailure):
        return Attempt(*when, response=outcome.detail)
    # A success keeps no body. A failure's is hostile: whatever is not UTF-8 is replaced.
    text = "" if outcome.ok else outcome.body.decode("utf-8", "replace")
    return Attempt(*when, outcome.status, text)


def _names(delivery: Delivery) -> dict[str, Any]:
    return {"event_id": delivery.event_id, "event": delivery.event, "delivery_id": delivery.delivery_id}


def _count(deltas: Sequence[OutcomeDelta], deps: DeliverDependencies) -> None:
    for delta in deltas:
        try:
            row = outcomes.add(delta, deps.backoff)
            deps.buffer.written(delta)
        except Exception:  # noqa: BLE001 - see the policy of process()
            deps.telemetry.error(
                "outcomes not counted: health will not know of them; the deliveries stay done",
                app_id=delta.app_id,
            )
            deps.telemetry.count("OutcomesNotCounted")
            continue
        try:
            admission.pause_if_failing(delta, row, deps)
        except Exception:  # noqa: BLE001 - the next failure that is counted decides again
            deps.telemetry.error(
                "app not paused, its circuit cannot be written: the app's next failure will try again",
                app_id=delta.app_id,
            )


def _log_successes(delivered: list[Success], deps: DeliverDependencies) -> None:
    if not delivered:
        return
    shown = [[success.app_id, *(success.row[name] for name in LOGGED)] for success in delivered]
    deps.telemetry.info("delivered", deliveries=shown)
    deps.telemetry.count("DeliverySucceeded", len(delivered))
    at_once = [(success.app_id, success.row) for success in delivered if not success.recorded]
    try:
        successes.pack(at_once, deps.token(), deps.now())
    except Exception:  # noqa: BLE001 - see the policy of process()
        deps.telemetry.error(
            "successes not logged: they are missing from the delivery log; the deliveries stay done",
            number=len(at_once),
        )
        deps.telemetry.count("SuccessesNotLogged")
