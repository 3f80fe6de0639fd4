"""The circuit of an app's endpoint: whether it is open, who makes its trial, how fast deliveries may go out.

An app has a row only if it is or was paused or switched off, or has a rate limit. Every change is conditional, so
that concurrent functions agree: one of them opens the circuit, one of them makes the trial.
"""

from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.lease import Lease
from bellhop.tables import change


class Circuit(Model):
    """All times are Unix seconds.

    `paused_since`: the circuit is open, as long as the app is in that `generation`. `next_trial_at`: when one
    delivery may be tried; `trial_lease` and `trial_lease_until` name the worker that tries it. `closed_at`: a
    trial succeeded and the slow start began. `tat`: the theoretical arrival time of the next delivery, which
    limits the rate. `parked`: how many deliveries were parked in `parked_generation`.
    """

    class Meta:
        table_name = "circuits"

    app_id = UnicodeAttribute(hash_key=True)
    generation = NumberAttribute(null=True)
    paused_since = NumberAttribute(null=True)
    next_trial_at = NumberAttribute(null=True)
    trial_lease = UnicodeAttribute(null=True)
    trial_lease_until = NumberAttribute(null=True)
    closed_at = NumberAttribute(null=True)
    tat = NumberAttribute(null=True)
    parked = NumberAttribute(null=True)
    parked_generation = NumberAttribute(null=True)


TRIAL_LEASE = Lease(Circuit.trial_lease_until, Circuit.trial_lease)


def load(app_id: str) -> Circuit:
    """The circuit as it is now; one without a row is closed."""
    try:
        return Circuit.get(app_id, consistent_read=True)
    except Circuit.DoesNotExist:
        return Circuit(app_id)


def paused_since(circuit: Circuit, generation: int) -> float | None:
    """Since when the circuit is open; what opened it in another generation ended with that."""
    known = circuit.paused_since is not None and circuit.generation == generation
    return float(circuit.paused_since) if known else None


def open_circuit(app_id: str, generation: int, now: float, next_trial_at: float) -> bool:
    """Pause the app; False when it is paused already."""
    actions = [
        Circuit.generation.set(generation),
        Circuit.paused_since.set(now),
        Circuit.next_trial_at.set(next_trial_at),
        Circuit.closed_at.remove(),
        *TRIAL_LEASE.release(),
    ]
    return _update(app_id, actions, Circuit.paused_since.does_not_exist() | (Circuit.generation < generation))


def claim_trial(app_id: str, lease: str, now: float, seconds: float) -> bool:
    """Take the trial for `seconds`; False when another worker has it, or it is too early."""
    due = Circuit.paused_since.exists() & (Circuit.next_trial_at <= now)
    return _update(app_id, TRIAL_LEASE.take(now + seconds, lease), due & TRIAL_LEASE.free(now))


def trial_failed(app_id: str, lease: str, next_trial_at: float) -> bool:
    """Have the next trial later; False when the lease was lost meanwhile."""
    actions = [Circuit.next_trial_at.set(next_trial_at), *TRIAL_LEASE.release()]
    return _update(app_id, actions, Circuit.trial_lease == lease)


def close_circuit(app_id: str, lease: str, now: float) -> bool:
    """End the pause and begin the slow start; False when the lease was lost meanwhile."""
    gone = [Circuit.paused_since.remove(), Circuit.next_trial_at.remove(), *TRIAL_LEASE.release()]
    return _update(app_id, [Circuit.closed_at.set(now), *gone], Circuit.trial_lease == lease)


def advance(app_id: str, before: float | None, after: float) -> bool:
    """Move the theoretical arrival time from `before` to `after`; False when another worker moved it meanwhile."""
    unmoved = Circuit.tat.does_not_exist() if before is None else Circuit.tat == before
    return _update(app_id, [Circuit.tat.set(after)], unmoved)


def count_parked(app_id: str, generation: int, number: int) -> int:
    """Count `number` deliveries as parked in `generation`; the total of that generation.

    When a newer generation has begun, nothing is counted, and the total is `number`.
    """
    circuit = Circuit(app_id)
    # The first of a generation begins the count. Where another began it meanwhile, ours is added the second time.
    for _ in range(2):
        if change(circuit, [Circuit.parked.add(number)], Circuit.parked_generation == generation):
            return int(circuit.parked)
        begun = [Circuit.parked_generation.set(generation), Circuit.parked.set(number)]
        older = Circuit.parked_generation.does_not_exist() | (Circuit.parked_generation < generation)
        if change(circuit, begun, older):
            return number
    return number


def _update(app_id: str, actions: list[Any], condition: Any) -> bool:
    return change(Circuit(app_id), actions, condition)
