"""Which of an app's deliveries may go out now, which wait for their place in time, and which are parked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bellhop import attempts, circuits
from bellhop.attempts import EXHAUSTED, RETRYING, NextState
from bellhop.circuits import Circuit, Share
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.registry import DISABLED, App
from deliver.attempt import chain
from deliver.circuit import trial
from deliver.circuit.known import CircuitState
from deliver.circuit.rate import Pace
from deliver.dependencies import DeliverDependencies, InternalError, QueueMessage, names

RESERVATIONS = 3  # tries to reserve places while other workers reserve theirs
UNRESERVED_SECONDS = (1.0, 5.0)  # after which deliveries come back that found no place in so many tries

PAUSED, OFF = "paused", "switched off"


@dataclass(slots=True)
class Admission:
    """`waits`: seconds until a message's place, and whether that is reserved. `parked_because`: all are parked."""

    go: list[QueueMessage] = field(default_factory=list)
    waits: list[tuple[QueueMessage, float, bool]] = field(default_factory=list)
    parked_because: str | None = None


def admit(app: App | None, messages: Sequence[QueueMessage], deps: DeliverDependencies) -> Admission:
    """Decide on an app's deliveries."""
    if app is None:
        return Admission([*messages])
    if app.state == DISABLED:
        return Admission(parked_because=OFF)
    state = deps.circuits.state(app)
    if state.paused_since is not None:
        state = deps.circuits.read(app)  # as it is now: the pause may be over
        if state.paused_since is not None:
            trial.recover(app, state, deps)
            return Admission(parked_because=PAUSED)
    return _paced(app, messages, state, deps)


def park(message: QueueMessage, app: App, because: str, deps: DeliverDependencies) -> None:
    """Park a delivery, with its budget untouched.

    Policy: for an app that is off, an organisation's first attempts are skipped and logged beyond a limit. A retry
    is always parked: its record is there already. So is everything for an app that is paused, which nobody chose.
    """
    content = message.content
    if isinstance(content, Delivery):
        if because == OFF and deps.parking.full(app, content.organization_id):
            deps.telemetry.warning("delivery skipped: parking is full", **names(content), limit=deps.parking.limit)
            deps.telemetry.count("ParkingFull")
            return
        known: dict[str, object] = names(content)
        parked = chain.park_first(content, message.receive_count, deps)
    else:
        known = {"delivery_id": message.delivery_id, "app_id": content.app_id}
        parked = isinstance(content, Retry) and chain.park_retry(content, deps)
    if not parked:
        return
    if because == OFF and isinstance(content, Delivery):
        deps.parking.note(app, content.organization_id)
    deps.telemetry.info(f"delivery parked: its app is {because}", **known)
    deps.telemetry.count("DeliveryParked")


def defer(message: QueueMessage, seconds: float, deps: DeliverDependencies, *, reserved: bool) -> None:
    """Have a delivery come back after so many seconds, when its place has come.

    Policy: one whose place is further away than its retries would take is exhausted at once, and stays replayable.
    """
    wait = -int(-seconds // 1)
    deps.telemetry.count("DeliveryDeferred")
    retry = _retry(message, wait, deps)
    if retry is None:
        return
    if wait > deps.policy.span:
        _exhaust(retry, deps)
    else:
        deps.scheduler.send(replace(retry, reserved=reserved), wait)


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
        row = circuits.share(app.app_id, organization_id)
        _reserve(row, Pace(float(app.max_per_second)), of_organization, admission, deps)
    if starting and admission.go:
        go, admission.go = admission.go, []
        admission.go = [message for message in go if _is_reserved(message)]
        _reserve(circuits.load(app.app_id), start, [m for m in go if not _is_reserved(m)], admission, deps)
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
    row: Circuit | Share,
    pace: Pace,
    messages: Sequence[QueueMessage],
    admission: Admission,
    deps: DeliverDependencies,
) -> None:
    for _ in range(RESERVATIONS):
        before = None if row.tat is None else float(row.tat)
        waits, after = pace.places(before, len(messages), deps.time())
        if after == before or after is None or circuits.advance(row, before, after):
            for message, wait in zip(messages, waits, strict=True):
                if wait:
                    admission.waits.append((message, wait, True))
                else:
                    admission.go.append(message)
            return
        row.refresh(consistent_read=True)
    # Many workers reserve at the same time. Nothing goes out without its place; all try again a little later.
    admission.waits += [(message, deps.uniform(*UNRESERVED_SECONDS), False) for message in messages]


def _retry(message: QueueMessage, wait: int, deps: DeliverDependencies) -> Retry | None:
    """The retry that is deferred; for a first attempt its record is written."""
    delivery = message.content
    if isinstance(delivery, Retry):
        return delivery
    if isinstance(delivery, Trial) or chain.already_recorded(delivery, message.receive_count, deps):
        return None
    deferred = NextState(RETRYING, deps.time() + wait)
    record = attempts.open_record(delivery, deferred, deps.now())
    known = None if record else attempts.load(delivery.delivery_id)
    if known and known.is_over_before(delivery.enqueued_at):
        record = attempts.reopen(delivery, known, deferred, deps.now())
    if record:
        deps.telemetry.info("delivery deferred: its app is over its rate", **names(delivery), seconds=wait)
        return chain.next_retry(record)
    return chain.next_retry(known) if known and known.state == RETRYING and not known.attempts_made else None


def _exhaust(message: Retry, deps: DeliverDependencies) -> None:
    record = chain.claim(message, deps)
    if record is None:
        return
    if not attempts.finish(record, NextState(EXHAUSTED), deps.now()):
        # The write is ours and its response was lost, or another worker is ahead. The message comes back and finds
        # in the record what is left to announce.
        raise InternalError(f"{message.delivery_id} was not written as exhausted under this lease")
    deps.telemetry.warning(
        "delivery exhausted: under its app's rate it would wait longer than its retries take",
        **names(record.delivery),
    )
    deps.telemetry.count("DeliveryExhausted")
    chain.announce_exhausted(record, deps)
