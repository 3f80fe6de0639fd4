"""What must be true of a world in which all is well again, whatever happened in it: each broken rule in words.

The rules of deliveries are here; those of counters, transitions and mail are in health_invariants.py, and those of
a world in which nothing failed in calm_invariants.py.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from bellhop import app_lists, circuits, large_bodies
from bellhop.attempts import DELIVERED, EXHAUSTED, MOST_ATTEMPTS, PARKED, RETRYING, DeliveryRecord
from bellhop.deliveries import delivery_id
from bellhop.registry import App
from deliver.http.response import Response
from health import transitions
from tests.simulation import calm_invariants, health_invariants
from tests.simulation.expressions import made_by
from tests.simulation.faulty_fleet import Post
from tests.simulation.history import Facts
from tests.simulation.story import ROUGH, Story
from tests.simulation.world import APPS, SKEW_SECONDS, STALE_SECONDS, World

WAITED_PAUSED = "delivery exhausted: its app was paused for as long as its retries would have taken"
WAITED_FOR_PLACE = "delivery exhausted: under its app's rate it would wait longer than its retries take"
LOST = "delivery stopped: its body is lost; publish its event again"
LONGEST_RETRY_AFTER = 86_400.0  # seconds; a longer one counts as this
MOST_COPIES = 16  # of a retry that wait at a time: each that is made by chance leads to one of the next attempt


def broken(world: World, story: Story) -> list[str]:
    """Every rule that does not hold."""
    quiet = not any(step.what in ROUGH for step in story.steps)
    return [
        *_unaccounted(world),
        *_unwanted(world),
        *_mismade(world),
        *_forked(world),
        *_ended_early(world),
        *_early(world),
        *_forgotten(world),
        *_altered(world),
        *_without_body(world),
        *_signatures(world),
        *health_invariants.broken(world),
        *_waiting(world),
        *((*world.stranded, *_found_by_the_sweep(world), *_multiplied(world)) if quiet else ()),
        *(calm_invariants.broken(world) if quiet and story.rate == 0.0 else ()),
    ]


def _unaccounted(world: World) -> Iterator[str]:
    """Deliveries that came to no end that a person was told of.

    Where a queue was purged, the message that would have told of an exhausted one may have been on it.
    """
    fleet = world.fleet
    records = {row.delivery_id: row for row in DeliveryRecord.scan()}
    accepted = {post.delivery_id for post in fleet.posts if isinstance(post.outcome, Response) and post.outcome.ok}
    announced = {each["delivery_id"] for each in _exhausted(world)}
    skipped = {each.get("delivery_id") for _, text, each in fleet.telemetry.lines if "skipped" in text}
    for event_id, at in world.published:
        for app_id in APPS:
            name = delivery_id("acme", event_id, f"in-{app_id}")
            row = records.get(name)
            if row is None and name not in accepted | skipped and _always_wanted(world, app_id, event_id, at):
                yield f"{name} of {app_id} is lost: {event_id} was published at {at}"
            elif row is not None:
                told = name in announced or bool(fleet.purged)
                yield from _unfinished(world, row, accepted=name in accepted, told=told)


def _unfinished(world: World, row: DeliveryRecord, *, accepted: bool, told: bool) -> Iterator[str]:
    # Of a deleted app, no sweep finds what a lost message was to end: the command does, once more (decision 69).
    ended = _deleted_by_command(row.app_id) and not (row.state == PARKED and world.fleet.purged)
    if row.state in {RETRYING, PARKED} and (world.registered(row.app_id) or ended):
        yield f"{row.delivery_id} of {row.app_id} is {row.state} for ever"
    elif row.state == EXHAUSTED and not told and (world.registered(row.app_id) or not _in_its_place(row)):
        # What a pause exhausted where it stood waits to be announced as what is parked waits to be sent.
        yield f"{row.delivery_id} of {row.app_id} is exhausted, and nobody was told"
    elif row.state == DELIVERED and not accepted:
        yield f"{row.delivery_id} of {row.app_id} is delivered, and was never accepted"


def _in_its_place(row: DeliveryRecord) -> bool:
    return row.replayable_at is not None and app_lists.is_parked(row)


def _unwanted(world: World) -> Iterator[str]:
    """Webhooks that nobody wanted: beyond the cache's time the app was off, or its hook did not ask."""
    for post in world.webhooks():
        since = post.began - STALE_SECONDS
        facts = world.history.between(post.app_id, since, post.at)
        if not any(each.on for each in facts):
            yield f"{post.delivery_id} went to {post.app_id}, which was off"
        if not any(each.wanted for each in facts):
            yield f"{post.delivery_id} went to {post.app_id}, whose hook did not want it"
        if post.url not in {each.url for each in facts}:
            yield f"{post.delivery_id} went to an old URL of {post.app_id}"


def _mismade(world: World) -> Iterator[str]:
    """Webhooks that a filter was to keep back, or whose body none of the app's transforms made of the event.

    Both were decided when the event was fanned out, at some time since it was published.
    """
    for post in world.webhooks():
        event_id, facts = _facts_since_publication(world, post)
        if not any(each.makes(event_id) for each in facts):
            yield f"{post.delivery_id} went to {post.app_id}, whose filter or transform kept {event_id} back"
        elif not any(made_by(each.transform, event_id, post.body) for each in facts):
            yield f"{post.delivery_id} went to {post.app_id} as what its transform does not make: {post.body!r}"


def _facts_since_publication(world: World, post: Post) -> tuple[str, list[Facts]]:
    event_id, at = world.source(post)
    return event_id, world.history.between(post.app_id, at - STALE_SECONDS, post.at)


def _forked(world: World) -> Iterator[str]:
    """Chains that forked, or went on beyond their budget."""
    budget, failed = 1 + len(world.fleet.parameters.delays), world.fleet.telemetry.logged("attempt failed")
    waited = _waited(world, WAITED_PAUSED) | {each["delivery_id"] for each in failed if _ended_by_trial(each)}
    for row in DeliveryRecord.scan():
        numbers = [int(each["n"]) for each in row.attempts]
        ids = Counter(each["request_id"] for each in row.attempts)
        if any(after not in {before + 1, 1} for before, after in pairwise(numbers)):
            yield f"{row.delivery_id} has the attempts {numbers}"
        if max(ids.values(), default=0) > 1:
            yield f"{row.delivery_id} has an attempt twice"
        # What is exhausted while its app is paused is released if nobody could be told before.
        most = budget + (row.delivery_id in waited)
        if max(numbers, default=0) > most and not world.sent_again(row.app_id, row.delivery_id):
            yield f"{row.delivery_id} has {max(numbers)} attempts"


def _ended_by_trial(failed: dict[str, Any]) -> bool:
    return bool(failed.get("trial")) and failed["state"] == EXHAUSTED


def _ended_early(world: World) -> Iterator[str]:
    """Chains that ended before their budget was used up, or are said to have."""
    budget, waited = 1 + len(world.fleet.parameters.delays), _waited(world, WAITED_PAUSED, WAITED_FOR_PLACE)
    for row in DeliveryRecord.scan():
        if row.state == EXHAUSTED and row.attempts_made < budget and row.delivery_id not in waited:
            yield f"{row.delivery_id} is exhausted after {row.attempts_made} attempts"
    for each in _exhausted(world):
        if each["attempts"] < budget and each["delivery_id"] not in waited:
            yield f"{each['delivery_id']} was announced as exhausted after {each['attempts']} attempts"


def _early(world: World) -> Iterator[str]:
    """Attempts before their time, and deliveries given up before it; a release does not wait for either."""
    waited, policy = _waited(world, WAITED_PAUSED), world.fleet.parameters.delays
    for row in DeliveryRecord.scan():
        if world.sent_again(row.app_id, row.delivery_id):
            continue
        for before, after in pairwise(row.attempts):
            at, number = _unix(after["at"]), int(before["n"])
            released = any(each.replayed is not None for each in world.around(row.app_id, at))
            if released or after["n"] != number + 1:  # or it began anew, as its event came twice
                continue
            # What is sent again is delayed by whole seconds.
            if at - _unix(before["at"]) < _wait(before, policy[number - 1]) - 2 * SKEW_SECONDS - 0.5:
                yield f"attempt {number + 1} of {row.delivery_id} was made after {at - _unix(before['at'])} s"
        # What was released before that was announced may have used up its attempts since.
        if row.state == EXHAUSTED and row.delivery_id in waited and row.attempts_made <= len(policy):
            yield from _given_up(world, row, sum(policy))


def _given_up(world: World, row: DeliveryRecord, span: float) -> Iterator[str]:
    at = _unix(app_lists.listed_since(row))
    facts = world.history.between(row.app_id, at - STALE_SECONDS, at + SKEW_SECONDS)
    longest = max((at - each.paused_since for each in facts if each.paused_since is not None), default=0.0)
    if longest < span - 2 * SKEW_SECONDS:
        yield f"{row.delivery_id} of {row.app_id} was given up after a pause of {longest} s"


def _wait(attempt: dict[str, Any], delay: float) -> float:
    """Seconds that were to pass after an attempt."""
    headers = {name.lower(): value for name, value in attempt.get("headers", {}).items()}
    return max(delay, min(float(headers.get("retry-after", 0.0)), LONGEST_RETRY_AFTER))


def _forgotten(world: World) -> Iterator[str]:
    """Attempts that were in the log, and are not any more."""
    logged = Counter(each["delivery_id"] for each in world.fleet.telemetry.logged("attempt failed"))
    kept = {
        row.delivery_id: sum(not each["result"].startswith("http_2") for each in row.attempts)
        for row in DeliveryRecord.scan()
    }
    for name, number in logged.items():
        if min(number, MOST_ATTEMPTS) > kept.get(name, 0):
            yield f"{name} failed {number} times, and has {kept.get(name, 0)} failed attempts in its record"


def _altered(world: World) -> Iterator[str]:
    """Webhooks whose bytes changed from attempt to attempt, while the app's transform did not.

    An event that comes twice is fanned out anew; what had no record then is made by the transform that is new.
    """
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for post in world.webhooks():
        _, facts = _facts_since_publication(world, post)
        if len({each.transform for each in facts}) == 1:
            bodies[post.delivery_id].add(post.body)
    yield from (f"{name} was sent with {len(each)} bodies" for name, each in bodies.items() if len(each) > 1)


def _without_body(world: World) -> Iterator[str]:
    """Records whose body is gone, though nobody took it away."""
    lost = {each["delivery_id"] for each in world.fleet.telemetry.logged(LOST)}
    yield from (f"the body of {name} was lost" for name in lost)
    items = world.tables.tables["attempts"].items
    for row in DeliveryRecord.scan():
        name = large_bodies.key(row)
        if name and (name, None) not in items:
            yield f"{row.delivery_id} has no body under {name}"


def _signatures(world: World) -> Iterator[str]:
    """Webhooks that whoever knows a secret that counts cannot verify, or whoever knows another one can."""
    for post in world.fleet.posts:
        if len({name.lower() for name in post.headers}) < len(post.headers):
            yield f"{post.delivery_id} has a header twice"
        facts = world.history.between(post.app_id, post.began - STALE_SECONDS, post.at)
        known = {name for each in facts for name, until in each.secrets if until > post.began - SKEW_SECONDS}
        signed = set(post.headers["webhook-signature"].split(" "))
        if not signed <= {_standard(name, post) for name in known}:
            yield f"{post.delivery_id} is signed by a secret that is none of {post.app_id}"
        if not all(_standard(name, post) in signed for name in _counting(facts, post)):
            yield f"{post.delivery_id} is not signed by each secret of {post.app_id}"
        classics = {_hmac(name, post.body).hex() for name in _oldest(facts, post) or known}
        if post.headers["Sentry-Hook-Signature"] not in classics:
            yield f"{post.delivery_id} has the classic signature of none of {post.app_id}, or of the newer one"


def _counting(facts: list[Facts], post: Post) -> set[str]:
    """The secrets that counted all the time."""
    return set.intersection(*({name for name, until in each.secrets if until > post.at} for each in facts))


def _oldest(facts: list[Facts], post: Post) -> set[str]:
    """The previous secret, where two overlapped all the time."""
    previous = [{name for name, until in each.secrets[1:] if until > post.at + SKEW_SECONDS} for each in facts]
    return set.intersection(*previous)


def _standard(secret: str, post: Post) -> str:
    signed = f"{post.delivery_id}.{post.headers['webhook-timestamp']}.".encode() + post.body
    return "v1," + base64.b64encode(_hmac(secret, signed)).decode()


def _hmac(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _waiting(world: World) -> Iterator[str]:
    """What waits for ever: messages, dead letters, pauses, what is listed as parked."""
    if not world.fleet.idle:
        yield "a message or a worker is still there"
    yield from (f"a dead letter on {each.queue}: {each.body[:200]}" for each in world.fleet.dead)
    for app_id in filter(world.registered, APPS):
        if circuits.is_paused(app_id, int(App.get(app_id).generation)):
            yield f"{app_id} is paused for ever"
        for row in app_lists.replayable(app_id, None, 9, exhausted=False):
            yield f"{row.delivery_id} of {app_id} is listed as parked for ever"


def _found_by_the_sweep(world: World) -> Iterator[str]:
    """What had no message any more, although none was lost."""
    if world.fleet.buried:
        return
    for _, text, names in world.fleet.telemetry.lines:
        if text.endswith(("lost or hours late", "none goes on", "no release goes on")):
            apps = {names["app_id"]} if "app_id" in names else {*names["deliveries"].values()}
            if apps - world.unfinished:
                yield f"the sweep found: {text} {names}"


def _multiplied(world: World) -> Iterator[str]:
    """Messages of which there are more and more."""
    if world.copies > MOST_COPIES:
        yield f"{world.copies} retries of one delivery waited at a time"


def _waited(world: World, *texts: str) -> set[str]:
    """Deliveries that were given up because they would have waited for too long."""
    return {each["delivery_id"] for text in texts for each in world.fleet.telemetry.logged(text)}


def _exhausted(world: World) -> list[dict[str, Any]]:
    """What was announced as exhausted."""
    published = world.fleet.published
    return [json.loads(each["Detail"]) for each in published if each["DetailType"].endswith("exhausted")]


def _deleted_by_command(app_id: str) -> bool:
    deletion = transitions.last_deletion(app_id)
    return deletion is not None and deletion.finished_at is not None


def _always_wanted(world: World, app_id: str, event_id: str, at: float) -> bool:
    facts = world.history.between(app_id, at - STALE_SECONDS, world.at())
    return all(each.wanted and each.makes(event_id) for each in facts)


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
