"""One batch, from queue messages to acknowledgements: begin the attempts, post them all at once, write everything.

How attempts begin is in intake.py. The three stages never overlap. What was written while posts still run would
hold them up, and could make a healthy endpoint miss its deadline. One write, in circuit/slow.py, has a thread.

Before the posts is done only what they need. What is not attempted now, since its app is paused, off or over its
rate, is settled after them: so however much of it a batch has, it delays no neighbour's webhook.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bellhop import newer, outcomes
from bellhop.attempts import Attempt
from bellhop.budget import END_SECONDS
from bellhop.deliveries import Delivery
from bellhop.outcomes import OutcomeDelta
from bellhop.registry import INTERNAL
from bellhop.successes import Row, Success
from deliver import next_step, processor
from deliver.attempt import chain, ending, kept_headers, kept_response, ping, retry, signing, verdict
from deliver.attempt.masking import Mask
from deliver.attempt.network import Attempted
from deliver.attempt.verdict import Judgement, Verdict
from deliver.circuit import strikes, trial
from deliver.circuit.strikes import Sign
from deliver.dependencies import (
    COUNT_SECONDS,
    LOG_SECONDS,
    MARGIN_SECONDS,
    DeliverDependencies,
    Finished,
    InternalError,
    Invocation,
    PendingAttempt,
    PostResult,
    Sent,
    Webhook,
    names,
)
from deliver.http.faults import OurFaultError
from deliver.http.hub import Hub, Meter
from deliver.http.response import Response, SendFailure
from deliver.intake import Begun, Intake
from deliver.next_step import Ended
from deliver.processor import Judging

LOGGED = ("app", "event_id", "delivery_id", "n", "status", "ms")  # of each success, in the batch's log line


@dataclass(slots=True)
class Batch:
    """What a batch adds up to. `returned`: ids of the messages that their queue must deliver again.

    `ended`: what is to be sent after each attempt that was written, and after what was settled. `slowest`: seconds
    that the endpoint of each app took, of its slowest attempt. `delivered`: the rows of what was delivered;
    `at_once`: what of that has no record of its own, which would have its row and its body.
    """

    returned: list[str] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    deltas: list[OutcomeDelta] = field(default_factory=list)
    signs: list[Sign] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    delivered: list[Row] = field(default_factory=list)
    at_once: list[Success] = field(default_factory=list)
    judging: Judging = field(default_factory=Judging)


def process(messages: Iterable[dict[str, Any]], deps: DeliverDependencies, invocation: Invocation) -> list[str]:
    """Handle a batch; return the ids of the messages that their queue must deliver again.

    Policy: whatever an endpoint does is written down for its delivery, and the message is done. A fault of ours
    returns the one message it touched, and is never counted against the app. When the counters or the log of
    successes cannot be written, the deliveries stay done: sending webhooks twice would be worse.

    Results come first after the posts, as what is posted and not written is posted again. Then what was not
    attempted is settled, in the same time: its messages are what holds it, so what no time is left for comes back.
    A worker that dies before loses nothing of it, and doubles nothing, for nothing of it was done.
    """
    intake = Intake(deps, invocation)
    with invocation.budget.keeping(deps.deadline + MARGIN_SECONDS - END_SECONDS):
        intake.take(messages)
    batch = Batch(intake.returned)
    posted = _post_all(intake.begun, deps, invocation)
    finished = _judge_ours(posted, deps)
    with invocation.budget.keeping(COUNT_SECONDS + LOG_SECONDS):
        _write_results(finished, deps, batch)
        batch.returned += next_step.send_all(batch.ended, deps)
        settled = intake.settle()
        batch.returned += next_step.send_all(settled, deps)
        batch.ended += settled
    with invocation.budget.keeping(LOG_SECONDS):
        _count(deps.buffer.due(batch.deltas), deps)
        trial.take_in(batch.signs, deps)
        deps.slow.take_in(batch.slowest, processor.costly(posted, batch.judging, deps.deadline))
        deps.network.take_back(deps.slow.outage_until, deps.time())
        deps.parking.count()
    _log_successes(batch, deps)
    batch.returned += newer.wait(intake.unknown, deps.scheduler.wait, deps.telemetry)
    # The last of all: nothing waits for it, and an event bus that is slow delays nothing else.
    batch.returned += next_step.announce_all(batch.ended, deps)
    return sorted(set(batch.returned))


# ---- Post: all at once


def _post_all(begun: Sequence[Begun], deps: DeliverDependencies, invocation: Invocation) -> list[Finished]:
    """Make the attempts side by side; return each with its result, in the order in which they finish."""
    finished, hub = list[Finished](), Hub[Finished]()
    with closing(hub), _no_collection():
        for item in begun:
            hub.start(partial(_attempt, item, deps, invocation))
        while ended := hub.wait(deps.slow.limit):
            finished += ended
        deps.slow.list_running(_slow_by_themselves(begun, finished))
        while ended := hub.wait():
            finished += ended
    return finished


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collections, of which a full one takes 50 ms and would fall on whichever attempt runs."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _slow_by_themselves(begun: Iterable[Begun], finished: Sequence[Finished]) -> set[str]:
    """The apps whose attempts still run, if any attempt of the batch showed that our network works."""
    if not any(isinstance(result, PostResult) and isinstance(result.outcome, Response) for *_, result in finished):
        return set()
    done = {message_id for message_id, *_ in finished}
    return {p.app.app_id for message_id, p in begun if message_id not in done and not p.delivery.ping}


def _attempt(item: Begun, deps: DeliverDependencies, invocation: Invocation) -> Finished:
    try:
        return *item, _post(item[1], deps, invocation)
    except Exception as error:  # noqa: BLE001 - a fault of ours, handed to the record boundary in process()
        return *item, error


def _post(pending: PendingAttempt, deps: DeliverDependencies, invocation: Invocation) -> PostResult | None:
    if invocation.time_left() < deps.deadline + MARGIN_SECONDS:
        return None
    at, request_id = deps.now(), deps.token()
    headers = signing.headers(pending.delivery, pending.keys, request_id, int(at.timestamp()))
    if pending.keys.oauth2:
        deps.access_tokens()
    meter = Meter()  # only now: a process's first key pair and first token have modules imported
    sent = _send(pending, Webhook(headers, pending.delivery.body), deps)
    milliseconds = round((deps.now() - at).total_seconds() * 1000)
    return PostResult(sent, at, milliseconds, request_id, *meter.read())


def _send(pending: PendingAttempt, webhook: Webhook, deps: DeliverDependencies) -> Sent:
    app, keys = pending.app, pending.keys
    if keys.oauth2:
        tokens, ping = deps.access_tokens(), pending.delivery.ping
        return tokens.post(deps.transport, app, keys, webhook, deps.deadline, new=ping)
    outcome = deps.transport.post(app.app_id, app.url, webhook.headers, webhook.body, deps.deadline)
    return Sent(outcome, keys, (Attempted(app.app_id, app.url, outcome),))


def _judge_ours(posted: Sequence[Finished], deps: DeliverDependencies) -> list[Finished]:
    """The same; what failed because our network did, or this process was too busy, did so by a fault of ours.

    A person waits for a ping and is told what became of it, as ever.
    """
    faults = processor.late(posted, deps.deadline) | _cut_off(posted, deps)
    return [
        (message_id, pending, result if pending.delivery.ping else faults.get(message_id, result))
        for message_id, pending, result in posted
    ]


def _cut_off(posted: Iterable[Finished], deps: DeliverDependencies) -> dict[str, OurFaultError]:
    """The attempts that reached nobody, if it is our network that failed."""
    results = {message_id: result for message_id, _, result in posted if isinstance(result, PostResult)}
    fault = deps.network.judge([each for r in results.values() for each in r.sent.requests], deps.time())
    if fault is None:
        return {}
    return {message_id: fault for message_id, result in results.items() if result.sent.last.unreached}


# ---- Write: the records, the next attempts, the counters and the log of successes


def _write_results(finished: Iterable[Finished], deps: DeliverDependencies, batch: Batch) -> None:
    # What was delivered first: if it is not written, it is delivered twice.
    for message_id, pending, result in sorted(finished, key=_is_failure):
        try:
            _write_result(message_id, pending, result, deps, batch)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "attempt not finished: the queue will deliver its message again",
                message_id=message_id,
                **pending.names(),
            )
            batch.returned.append(message_id)


def _is_failure(finished: Finished) -> bool:
    result = finished[2]
    return not (isinstance(result, PostResult) and isinstance(result.outcome, Response) and result.outcome.ok)


def _write_result(
    message_id: str,
    pending: PendingAttempt,
    result: PostResult | Exception | None,
    deps: DeliverDependencies,
    batch: Batch,
) -> None:
    if isinstance(result, OurFaultError) and not pending.delivery.ping:
        # Policy: the attempt was not made and no endpoint is to blame. Nothing is counted, and no budget is spent.
        # It is made later by a message of its own, so an outage of ours dead-letters nothing, however long.
        batch.ended.append(_defer_by_our_fault(message_id, pending, result, deps))
        return
    if result is None or isinstance(result, Exception):
        # Policy: the same, but the message comes back, and finds its attempt free.
        chain.give_back(pending)
        trial.give_back(pending)
        raise result or InternalError("no time left in this invocation for another attempt")
    if pending.delivery.ping:
        ping.write_result(pending, result, deps)
        return
    with batch.judging.measure(message_id):
        judgement = verdict.judge(result.outcome, deps.now())
        attempt = _attempt_row(pending, judgement.result, result)
    following = ending.write(pending, judgement, attempt, deps)
    # Counted before the next retry is sent: if that fails, the message comes back and finds the record ahead, so
    # this is the only chance to count the attempt.
    delta = ending.outcome_delta(pending, judgement, attempt)
    batch.deltas += [delta] if delta else []
    _take_in(pending, judgement, result, deps, batch)
    if judgement.verdict is Verdict.DELIVERED:
        row = attempt.row() | _names(pending.delivery)
        batch.delivered.append(row)
        if pending.record is None:
            batch.at_once.append(Success(pending.delivery, row))
    if pending.trial:
        # Last: where the circuit cannot be written, the message comes back for another trial, but this one stands.
        following = trial.finish(pending.app, pending.trial, judgement, following.exhausted, deps)
    batch.ended.append(Ended(message_id, names(pending.delivery), following))


def _defer_by_our_fault(
    message_id: str, pending: PendingAttempt, fault: OurFaultError, deps: DeliverDependencies
) -> Ended:
    deferrals = int(pending.record.deferrals or 0) if pending.record else 0
    wait = retry.jittered(retry.fault_wait(deferrals, deps.uniform), deps.uniform)
    deps.telemetry.warning(
        "attempt not made, by a fault of ours: it will be made later",
        **pending.names(),
        reason=str(fault),
        seconds=wait,
    )
    deps.telemetry.count("OurFault")
    if pending.trial:
        chain.give_back(pending)
        return Ended(message_id, names(pending.delivery), trial.defer(pending, wait, deps))
    return Ended(message_id, names(pending.delivery), ending.defer(pending, wait, deps))


def _take_in(
    pending: PendingAttempt, judgement: Judgement, result: PostResult, deps: DeliverDependencies, batch: Batch
) -> None:
    key, seconds = (pending.app.app_id, int(pending.app.generation)), result.endpoint_seconds
    if judgement.well is not None:
        batch.slowest[key[0]] = max(seconds, batch.slowest.get(key[0], 0.0))
    if judgement.well is not None and pending.trial is None:
        by = strikes.EVERYBODY if pending.app.kind == INTERNAL else pending.delivery.organization_id
        sign = strikes.sign(*key, well=judgement.well, seconds=seconds, deadline=deps.deadline, by=by)
        batch.signs.append(sign)


def _attempt_row(pending: PendingAttempt, result_name: str, result: PostResult) -> Attempt:
    outcome, keys, resent = result.outcome, result.sent.keys, bool(pending.record and pending.record.resent_at)
    when = (pending.number, result.at, result.milliseconds, result.request_id, result_name)
    if isinstance(outcome, SendFailure):
        return Attempt(*when, response=kept_response.of_failure(outcome, Mask(keys)), resent=resent)
    if outcome.ok:
        return Attempt(*when, outcome.status, resent=resent)
    mask = Mask(keys)
    kept, headers = kept_response.of(outcome, mask), kept_headers.of_failure(outcome.headers, mask)
    return Attempt(*when, outcome.status, kept.text, headers, resent, kept.long)


def _names(delivery: Delivery) -> dict[str, Any]:
    return {
        "app": delivery.app_id,
        "event_id": delivery.event_id,
        "event": delivery.event,
        "delivery_id": delivery.delivery_id,
    }


def _count(deltas: Sequence[OutcomeDelta], deps: DeliverDependencies) -> None:
    for delta in deltas:
        try:
            outcomes.add(delta, deps.backoff)
            deps.buffer.written(delta)
        except Exception:  # noqa: BLE001 - see the policy of process()
            deps.telemetry.error(
                "outcomes not counted: health will not know of them; the deliveries stay done",
                app_id=delta.app_id,
            )
            deps.telemetry.count("OutcomesNotCounted")


def _log_successes(batch: Batch, deps: DeliverDependencies) -> None:
    if not batch.delivered:
        return
    deps.telemetry.info("delivered", deliveries=[[row[name] for name in LOGGED] for row in batch.delivered])
    deps.telemetry.count("DeliverySucceeded", len(batch.delivered))
    try:
        deps.log.write(batch.at_once, deps.now())
    except Exception:  # noqa: BLE001 - see the policy of process()
        deps.telemetry.error(
            "successes not logged: they are missing from the delivery log; the deliveries stay done",
            number=len(batch.at_once),
        )
        deps.telemetry.count("SuccessesNotLogged")
