"""Which attempts a batch's messages ask for, and what becomes of the others.

`take` begins the attempts, before the posts. `settle` parks, defers and exhausts the rest, after them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bellhop import deliveries
from bellhop.aws import TRY_SECONDS
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, Trial
from bellhop.newer import Unknown, UnknownKindError
from bellhop.registry import App
from deliver.attempt import chain, ping
from deliver.circuit import admission, trial
from deliver.circuit.admission import Admission, Wait
from deliver.circuit.trial import Passed, Search
from deliver.dependencies import (
    MARGIN_SECONDS,
    DeliverDependencies,
    InternalError,
    Invocation,
    NotYetError,
    PendingAttempt,
    QueueMessage,
)
from deliver.next_step import Ended

SEVERAL = 10  # attempts that began with a call, by which it is known how long one takes; fewer count as so many

# An attempt with the id of the message that it is made for.
Begun = tuple[str, PendingAttempt]


@dataclass
class Intake:
    """The messages of one batch, taken in. `returned`: ids of those that their queue must deliver again.

    `unknown`: those that only a newer version can handle.
    """

    deps: DeliverDependencies
    invocation: Invocation
    begun: list[Begun] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    # To be settled after the posts: of an app, and of a trial.
    _waiting: list[tuple[App, Admission]] = field(default_factory=list)
    _passed: list[tuple[QueueMessage, Passed]] = field(default_factory=list)
    _search: Search = field(default_factory=Search)
    # Seconds that it took to begin the attempts that begin with a call.
    _begins: list[float] = field(default_factory=list)

    def take(self, messages: Iterable[dict[str, Any]]) -> None:
        """Begin the attempts that may be made now; hand over what is for the slow lane; `settle` does the rest.

        Trials begin last: each takes several calls. Where time runs short, they come back, and not the neighbours.
        """
        read = self._read(messages)
        app_ids = {message.content.app_id for message in read}
        if self.deps.slow.look():
            for app_id in filter(self.deps.slow.__contains__, app_ids):
                self.deps.circuits.expire(app_id)  # a pause may have begun; read together, however many are slow
            self.deps.prefetch.read(app_ids)
        else:  # the list is in the table of the circuits; where that is silent, the others are still read together
            self.deps.prefetch.read(app_ids, (Circuit,))
        apps: dict[str, list[QueueMessage]] = {}
        trials = []
        for message in read:
            # A person waits for a ping, and a trial is what a pause lets go: the circuit is not asked.
            if message.ping:
                self._begin(message)
            elif isinstance(message.content, Trial):
                trials.append(message)
            else:
                apps.setdefault(message.content.app_id, []).append(message)
        slow = [message for app_id, of_app in apps.items() for message in self._admit(app_id, of_app)]
        # Not after the posts: it takes few calls, and an endpoint that hangs would delay all that are slow.
        self._hand_over(slow)
        for message in trials:
            self._begin(message)

    def settle(self) -> list[Ended]:
        """Park, defer or exhaust what was not to be attempted now; what is to be sent after it."""
        ended = []
        for app, admitted in self._waiting:
            try:
                settled = admission.look_again(app, admitted, self.deps)
            except Exception:  # noqa: BLE001 - as in _admit
                self._return_all(app.app_id, admitted.parked)
                continue
            self._park(settled.parked, app, settled.because)
            ended += self._defer(app, settled.waits)
        for message, passed in self._passed:
            try:
                ended.append(Ended(message.message_id, message.names(), passed.settle(self.deps)))
            except Exception as error:  # noqa: BLE001 - the record boundary
                self._return("trial not ended", message, error)
        return ended

    def _read(self, messages: Iterable[dict[str, Any]]) -> list[QueueMessage]:
        read = []
        for message in messages:
            message_id = message["messageId"]
            try:
                count = int(message["attributes"]["ApproximateReceiveCount"])
                slow_lane = message.get("eventSourceARN") == self.deps.slow_lane_arn
                content = deliveries.decode(message["body"])
                read.append(QueueMessage(message_id, count, content, slow_lane, message))
            except UnknownKindError as unknown:
                self.unknown.append((message, unknown))
            except Exception:  # noqa: BLE001 - the record boundary
                self.deps.telemetry.error(
                    "message unreadable: the queue will deliver it again, then move it to its dead-letter queue",
                    message_id=message_id,
                )
                self.returned.append(message_id)
        return read

    def _admit(self, app_id: str, messages: list[QueueMessage]) -> list[QueueMessage]:
        """Begin what may go out now; those that are to be handed over to the slow lane."""
        try:
            app = self.deps.registry.app(app_id)
            admitted = admission.admit(app, messages, self.deps)
        except Exception:  # noqa: BLE001 - registry or circuits do not respond: this app's messages come back
            self._return_all(app_id, messages)
            return []
        if app:  # of one that is not registered nothing waits
            self._waiting.append((app, admitted))
        for message in admitted.go:
            self._begin(message)
        return admitted.slow

    def _defer(self, app: App, waits: Iterable[Wait]) -> list[Ended]:
        ended = []
        for message, due, reserved in waits:
            try:
                following = admission.defer(message, app, due, self.deps, reserved=reserved)
            except Exception as error:  # noqa: BLE001 - the record boundary
                self._return("delivery not deferred", message, error)
            else:
                ended += [Ended(message.message_id, message.names(), following)] if following else []
        return ended

    def _begin(self, message: QueueMessage) -> None:
        before = self.invocation.time_left()
        try:
            self._check_time(before - self.deps.deadline)
            pending = self._pending(message)
        except Exception as error:  # noqa: BLE001 - the record boundary
            self._return("attempt not begun", message, error)
        else:
            self.begun += [(message.message_id, pending)] if pending else []
            if pending and not message.slow_lane:
                self._measure_delay(pending)
            # A first attempt has nothing read for it, and a trial may have passed over many that are over.
            if pending and not pending.trial and (pending.record or message.receive_count > 1):
                self._begins.append(before - self.invocation.time_left())

    def _pending(self, message: QueueMessage) -> PendingAttempt | None:
        if isinstance(message.content, Trial):
            pending, passed = trial.begin(message.content, message.receive_count, self._search, self.deps)
            self._passed += [(message, passed)] if passed else []
            return pending
        if message.ping:
            return ping.begin(message.ping, self.deps)
        return chain.begin(message.content, message.receive_count, self.deps)

    def _measure_delay(self, pending: PendingAttempt) -> None:
        # Of what waits only for us: in the slow lane apps wait for themselves, and what has a record had to wait.
        delivery = pending.delivery
        if pending.record is None and delivery.enqueued_at and not delivery.ping:
            self.deps.telemetry.measure("DeliveryDelay", max(0.0, self.deps.time() - delivery.enqueued_at))

    def _check_time(self, seconds: float) -> None:
        """Check that there is time to begin one more attempt, and to write it and the others.

        To begin one takes as long as the slowest before it. To write each takes as long as they took on average,
        since one call that took long is no slow table. What is posted and not written is posted again.

        Raises:
            InternalError: it may not be.
        """
        mean = sum(self._begins) / max(len(self._begins), SEVERAL)
        needed = max((len(self.begun) + 1) * mean, max(self._begins, default=0.0))
        if needed > seconds - MARGIN_SECONDS + TRY_SECONDS:
            raise InternalError("the tables are so slow that this attempt's result might not be written")

    def _park(self, messages: Iterable[QueueMessage], app: App, because: str) -> None:
        parked = []
        for message in messages:
            try:
                if admission.park(message, app, because, self.deps):
                    parked.append(message.delivery_id)
            except Exception as error:  # noqa: BLE001 - the record boundary
                self._return("delivery not parked", message, error)
        if parked:  # one line, as waiting is to cost little
            self.deps.telemetry.info(
                f"deliveries parked: their app is {because}", app_id=app.app_id, delivery_ids=parked
            )
            self.deps.telemetry.count("DeliveryParked", len(parked))

    def _hand_over(self, messages: Sequence[QueueMessage]) -> None:
        # Policy: one that is handed over and comes back all the same may be attempted twice, under one id.
        if not messages:
            return
        try:
            handed = [m.content for m in messages if isinstance(m.content, Delivery)]
            refused = self.deps.scheduler.hand_over(handed)
        except Exception:  # noqa: BLE001 - the record boundary
            refused = set(range(len(messages)))
        for position in sorted(refused):
            self._return("delivery not handed over to the slow lane", messages[position])
        self.deps.telemetry.count("DeliveryHandedOver", len(messages) - len(refused))

    def _return_all(self, app_id: str, messages: Sequence[QueueMessage]) -> None:
        self.deps.telemetry.error(
            "app or circuit not read: the queue will deliver the app's messages again",
            app_id=app_id,
            number=len(messages),
        )
        self.returned += [message.message_id for message in messages]

    def _return(self, what: str, message: QueueMessage, error: Exception | None = None) -> None:
        if isinstance(error, UnknownKindError):
            self.unknown.append((message.received, error))
            return
        about = {"message_id": message.message_id, **message.names()}
        if isinstance(error, NotYetError):
            self.deps.telemetry.info("attempt not begun yet: its message comes back", reason=str(error), **about)
        else:
            self.deps.telemetry.error(f"{what}: the queue will deliver its message again", **about)
        self.returned.append(message.message_id)
