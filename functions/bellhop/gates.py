"""The gate of an app's endpoint: is it paused, who probes it, how fast deliveries may go out, what is parked.

A row exists only for an app that is or was paused or switched off, or has a rate limit. Every change is
conditional, so that concurrent functions agree: one of them pauses, one of them probes.
"""

from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.tables import change


class Gate(Model):
    """All times are epoch seconds.

    `paused_since`: deliveries wait, as long as the app is in that `epoch`. `next_probe`: when one may be tried;
    `probe` and `probe_until` name the worker that tries it. `recovered_at`: a probe succeeded, and the slow start
    began. `tat`: the theoretical arrival time of the next delivery, which paces them. `parked`: how many were
    parked in `parked_epoch`.
    """

    class Meta:
        table_name = "gates"

    app_id = UnicodeAttribute(hash_key=True)
    epoch = NumberAttribute(null=True)
    paused_since = NumberAttribute(null=True)
    next_probe = NumberAttribute(null=True)
    probe = UnicodeAttribute(null=True)
    probe_until = NumberAttribute(null=True)
    recovered_at = NumberAttribute(null=True)
    tat = NumberAttribute(null=True)
    parked = NumberAttribute(null=True)
    parked_epoch = NumberAttribute(null=True)


def load(app_id: str) -> Gate:
    """The gate as it is now; one without a row is open."""
    try:
        return Gate.get(app_id, consistent_read=True)
    except Gate.DoesNotExist:
        return Gate(app_id)


def paused_since(gate: Gate, epoch: int) -> float | None:
    """Since when the app is paused; a pause of another epoch ended with it."""
    known = gate.paused_since is not None and gate.epoch == epoch
    return float(gate.paused_since) if known else None


def pause(app_id: str, epoch: int, now: float, next_probe: float) -> bool:
    """Begin a pause; False when it is paused already."""
    actions = [Gate.epoch.set(epoch), Gate.paused_since.set(now), Gate.next_probe.set(next_probe)]
    actions += [Gate.recovered_at.remove(), Gate.probe.remove(), Gate.probe_until.remove()]
    return _update(app_id, actions, Gate.paused_since.does_not_exist() | (Gate.epoch < epoch))


def take_probe(app_id: str, worker: str, now: float, seconds: float) -> bool:
    """Become the one that probes, for `seconds`; False when another is, or it is too early."""
    free = Gate.probe_until.does_not_exist() | (Gate.probe_until < now)
    actions = [Gate.probe.set(worker), Gate.probe_until.set(now + seconds)]
    return _update(app_id, actions, Gate.paused_since.exists() & (Gate.next_probe <= now) & free)


def probe_failed(app_id: str, worker: str, next_probe: float) -> bool:
    """Put off the next probe; False when the lease was lost meanwhile."""
    actions = [Gate.next_probe.set(next_probe), Gate.probe.remove(), Gate.probe_until.remove()]
    return _update(app_id, actions, Gate.probe == worker)


def recovered(app_id: str, worker: str, now: float) -> bool:
    """End the pause and begin the slow start; False when the lease was lost meanwhile."""
    gone = [Gate.paused_since.remove(), Gate.next_probe.remove(), Gate.probe.remove(), Gate.probe_until.remove()]
    actions = [Gate.recovered_at.set(now), *gone]
    return _update(app_id, actions, Gate.probe == worker)


def take_time(app_id: str, before: float | None, after: float) -> bool:
    """Move the pace from `before` to `after`; False when another worker moved it meanwhile."""
    unmoved = Gate.tat.does_not_exist() if before is None else Gate.tat == before
    return _update(app_id, [Gate.tat.set(after)], unmoved)


def park(app_id: str, epoch: int, number: int) -> int:
    """Count `number` deliveries as parked in `epoch`; the total of that epoch.

    Where a newer epoch has begun there is no such total any more, and nothing is counted: `number`.
    """
    gate = Gate(app_id)
    # The first of an epoch begins the count. Where another began it meanwhile, ours is added on the second try.
    for _ in range(2):
        if change(gate, [Gate.parked.add(number)], Gate.parked_epoch == epoch):
            return int(gate.parked)
        begun = [Gate.parked_epoch.set(epoch), Gate.parked.set(number)]
        if change(gate, begun, Gate.parked_epoch.does_not_exist() | (Gate.parked_epoch < epoch)):
            return number
    return number


def _update(app_id: str, actions: list[Any], condition: Any) -> bool:
    return change(Gate(app_id), actions, condition)
