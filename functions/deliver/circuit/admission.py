"""Which of an app's deliveries may go out now, which wait for their place in time, and which are parked.

What may not go out now is settled after the batch's posts: parked or deferred here, one by one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pynamodb.exceptions import PynamoDBException

from bellhop import attempts, circuits
from bellhop.attempts import EXHAUSTED, RETRYING, NextState
from bellhop.budget import OutOfBudgetError
from bellhop.circuits import Circuit, Share
from bellhop.deliveries import Delivery, Retry
from bellhop.due import next_retry
from bellhop.registry import DISABLED, App
from deliver.attempt import chain
from deliver.attempt.retry import fault_wait
from deliver.circuit import trial
from deliver.circuit.known import CircuitState
from deliver.circuit.rate import Pace
from deliver.dependencies import DeliverDependencies, InternalError, QueueMessage, names
from deliver.next_step import NextStep

RESERVATIONS = 3  # tries to reserve places while other workers reserve theirs
UNRESERVED_SECONDS = (1.0, 5.0)  # after which deliveries come back that found no place, or whose pause is over

PAUSED, OFF = "paused", "switched off"

Wait = tuple[QueueMessage, float, bool]


@dataclass(slots=True)
class Admission:
    """`waits`: when the place of a message is, in Unix seconds; is it reserved? `slow`: to be handed over.

    `parked`: for an app that is off, or may be paused, as `because` says.
    """

    go: list[QueueMessage] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    slow: list[QueueMessage] = field(default_factory=list)
    parked: Sequence[QueueMessage] = ()
    because: str = OFF


@dataclass(frozen=True, slots=True)
class _Limit:
    """What one organisation's deliveries to an app are paced by, or under no organisation those of all."""

    app_id: str
    organization_id: str | None
    pace: Pace

    def load(self) -> Circuit | Share:
        if self.organization_id is None:
            return circuits.load(self.app_id)
        return circuits.share(self.app_id, self.organization_id)


def admit(app: App | None, messages: Sequence[QueueMessage], deps: DeliverDependencies) -> Admission:
    """Decide on an app's deliveries.

    Of one that is paused, as far as this process knows, the circuit is asked only before they are parked: see
    look_again(). So no number of paused apps delays a batch's posts.
    """
    if app is None:
        return Admission([*messages])
    if app.state == DISABLED:
        return Admission(parked=messages, because=OFF)
    state = deps.circuits.state(app)
    if state.paused_since is not None:
        return Admission(parked=messages, because=PAUSED)
    slow = [m for m in messages if app.app_id in deps.slow and not m.slow_lane]
    admission = _paced(app, [m for m in messages if m not in slow], state, deps)
    admission.slow = slow
    return admission


def look_again(app: App, admission: Admission, deps: DeliverDependencies) -> Admission:
    """The same after the posts: a pause may be over by then, perhaps by a trial of this very batch.

    Policy: nothing is parked for a pause that may be over, for it would wait until the release's last pass, or
    longer. It comes back by the retry queue in a moment; by its own it would take the visibility timeout.

    An app that is off is not asked again: its release goes on for as long as processes may know it as it was, and
    their batches last.
    """
    if admission.because != PAUSED:
        return admission
    try:
        state = deps.circuits.read(app)
    except (PynamoDBException, OutOfBudgetError):
        return _not_read(app, admission.parked, deps)
    if state.paused_since is None:
        deps.telemetry.info(
            "deliveries deferred: their app's pause is over", app_id=app.app_id, number=len(admission.parked)
        )
        return Admission(waits=_in_a_moment(admission.parked, deps))
    trial.recover(app, state, deps)
    return admission


def park(message: QueueMessage, app: App, because: str, deps: DeliverDependencies) -> bool:
    """Park a delivery, with its budget untouched; whether that was done.

    Policy: for an app that is off, an organisation's first attempts are skipped and logged beyond a limit. A retry
    is always parked: its record is there already. So is everything for an app that is paused, which nobody chose.
    """
    content = message.content
    if isinstance(content, Delivery):
        if because == OFF and deps.parking.full(app, content.organization_id):
            deps.telemetry.warning("delivery skipped: parking is full", **names(content), limit=deps.parking.limit)
            deps.telemetry.count("ParkingFull")
            return False
        parked = chain.park_first(content, app, message.receive_count, deps)
    else:
        parked = isinstance(content, Retry) and chain.park_retry(content, app, message.receive_count, deps)
    if parked and because == OFF and isinstance(content, Delivery):
        deps.parking.note(app, content.organization_id)
    return parked


def defer(
    message: QueueMessage, app: App, due: float, deps: DeliverDependencies, *, reserved: bool
) -> NextStep | None:
    """Have a delivery come back when its place has come; what is to be sent, None if its record says otherwise.

    Policy: one whose reserved place is further away than its retries would take is exhausted at once, and stays
    replayable.
    """
    wait, content = max(0, math.ceil(due - deps.time())), message.content
    too_long = reserved and wait > deps.policy.span
    if isinstance(content, Retry):
        retry = content if too_long else chain.defer(content, message.receive_count, wait, deps)
    else:
        retry = _first_retry(message, app, wait, deps)
    if retry is None:
        return None
    deps.telemetry.count("DeliveryDeferred")
    if too_long:
        return _exhaust(retry, app, message.receive_count, deps)
    return NextStep((replace(retry, reserved=reserved), wait))


def _paced(
    app: App, messages: Sequence[QueueMessage], state: CircuitState, deps: DeliverDependencies
) -> Admission:
    admission = Admission()
    start = Pace(closed_at=state.closed_at)
    starting = start.rate(deps.time()) < float("inf")
    for organization_id, of_organization in _by_organization(messages).items():
        if not app.max_per_second or organization_id is None:
            admission.go += of_organization
            continue
        limit = _Limit(app.app_id, organization_id, Pace(float(app.max_per_second)))
        _reserve(limit, of_organization, admission, deps)
    if starting and admission.go:
        go, admission.go = admission.go, []
        admission.go = [message for message in go if _is_reserved(message)]
        _reserve(_Limit(app.app_id, None, start), [m for m in go if not _is_reserved(m)], admission, deps)
    return admission


def _by_organization(messages: Sequence[QueueMessage]) -> dict[str | None, list[QueueMessage]]:
    """The messages of each organisation; under None those that have their place already."""
    groups: dict[str | None, list[QueueMessage]] = {}
    for message in messages:
        content = message.content
        known = None if _is_reserved(message) else getattr(content, "organization_id", "")
        groups.setdefault(known, []).append(message)
    return groups


def _is_reserved(message: QueueMessage) -> bool:
    return isinstance(message.content, Retry) and message.content.reserved


def _reserve(
    limit: _Limit, messages: Sequence[QueueMessage], admission: Admission, deps: DeliverDependencies
) -> None:
    """Reserve places in time.

    Policy: nothing goes out without its place. Where many workers reserve at the same time, or the circuits do not
    respond, all of it comes back later.
    """
    try:
        places = _places(limit, len(messages), deps)
    except (PynamoDBException, OutOfBudgetError):
        _log_deferral("rate not read or written", limit.app_id, messages, deps)
        admission.waits += _fault_waits(messages, deps)
        return
    if places is None:
        admission.waits += _in_a_moment(messages, deps)
        return
    now = deps.time()
    for message, wait in zip(messages, places, strict=True):
        if wait:
            admission.waits.append((message, now + wait, True))
        else:
            admission.go.append(message)


def _places(limit: _Limit, wanted: int, deps: DeliverDependencies) -> Sequence[float] | None:
    """Seconds until each of the places that were reserved; None where other workers were always faster."""
    row = limit.load()
    for _ in range(RESERVATIONS):
        before = None if row.tat is None else float(row.tat)
        waits, after = limit.pace.places(before, wanted, deps.time())
        if after == before or after is None or circuits.advance(row, before, after):
            return waits
        row.refresh(consistent_read=True)
    return None


def _not_read(app: App, messages: Sequence[QueueMessage], deps: DeliverDependencies) -> Admission:
    _log_deferral("circuit not read", app.app_id, messages, deps)
    return Admission(waits=_fault_waits(messages, deps))


def _in_a_moment(messages: Sequence[QueueMessage], deps: DeliverDependencies) -> list[Wait]:
    return [(message, deps.time() + deps.uniform(*UNRESERVED_SECONDS), False) for message in messages]


def _fault_waits(messages: Sequence[QueueMessage], deps: DeliverDependencies) -> list[Wait]:
    deferrals = [m.content.deferral if isinstance(m.content, Retry) else 0 for m in messages]
    waits = [fault_wait(each, deps.uniform) for each in deferrals]
    return [(message, deps.time() + wait, False) for message, wait in zip(messages, waits, strict=True)]


def _log_deferral(what: str, app_id: str, messages: Sequence[QueueMessage], deps: DeliverDependencies) -> None:
    deps.telemetry.error(
        f"{what}: the app's deliveries are deferred by a minute or two, or more if they were before",
        app_id=app_id,
        number=len(messages),
    )


def _first_retry(message: QueueMessage, app: App, wait: int, deps: DeliverDependencies) -> Retry | None:
    """The retry for a first attempt that is deferred: its record is written."""
    delivery = message.content
    if not isinstance(delivery, Delivery) or chain.already_recorded(delivery, message.receive_count, deps):
        return None
    record, known = chain.open_record(delivery, app, NextState(RETRYING, deps.time() + wait), deps)
    if record:
        deps.telemetry.info("delivery deferred: a retry makes its first attempt", **names(delivery), seconds=wait)
        return next_retry(record)
    return next_retry(known) if known and known.state == RETRYING and not known.attempts_made else None


def _exhaust(message: Retry, app: App, receive_count: int, deps: DeliverDependencies) -> NextStep | None:
    record = chain.claim(message, receive_count, deps)
    if record is None:
        return None
    if not attempts.finish(record, NextState(EXHAUSTED), deps.now(), chain.list_key(app, record, deps)):
        # The write is ours and its response was lost, or another worker is ahead. The message comes back and finds
        # in the record what is left to announce.
        raise InternalError(f"{message.delivery_id} was not written as exhausted under this lease")
    deps.telemetry.warning(
        "delivery exhausted: under its app's rate it would wait longer than its retries take",
        **names(record),
    )
    deps.telemetry.count("DeliveryExhausted")
    return NextStep(exhausted=record)
