"""What is under way has a message at every moment, unless one was lost: looked at after each step of a story."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bellhop import circuits, resend_jobs
from bellhop.attempts import RETRYING, DeliveryRecord
from bellhop.registry import App
from tests.simulation.simulated_functions import DELIVERIES, RETRIES, TRANSITIONS
from tests.simulation.world import APPS, World


def look(world: World) -> None:
    """Note what has no message, and the most copies of a retry."""
    waiting = _waiting(world, DELIVERIES, RETRIES)
    retries = Counter(each["delivery_id"] for each in waiting if each.get("kind") == "retry")
    world.copies = max(world.copies, *retries.values(), 0)
    if not world.fleet.purged and not world.fleet.buried:
        known = {each["delivery_id"] for each in waiting if "delivery_id" in each} | _being_resent(world)
        trials = {(each["app_id"], each["generation"]) for each in waiting if each.get("kind") == "trial"}
        world.stranded.update(_retries(world, known), _pauses(world, trials))


def _waiting(world: World, *queues: str) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in world.fleet.messages() if each.queue in queues]


def _being_resent(world: World) -> set[str]:
    """What a worker that froze may have made due, and not sent yet: the message for its page comes back."""
    steps = [each for each in _waiting(world, TRANSITIONS) if each["kind"] == "resend"]
    pages = [resend_jobs.read_page(each["job_id"], each["page"]) or [] for each in steps]
    return {each.delivery_id for page in pages for each in page}


def _retries(world: World, known: set[str]) -> Iterator[str]:
    for row in DeliveryRecord.scan():
        if row.state == RETRYING and row.delivery_id not in known:
            yield f"{row.delivery_id} of {row.app_id} is retrying without a message"


def _pauses(world: World, trials: set[tuple[str, int]]) -> Iterator[str]:
    for app_id in filter(world.registered, APPS):
        generation = int(App.get(app_id).generation)
        if circuits.is_paused(app_id, generation) and (app_id, generation) not in trials:
            yield f"{app_id} is paused without a trial"
