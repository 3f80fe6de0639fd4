"""What must be true of a world in which all is well again, whatever happened in it: each broken rule in words."""

import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from bellhop import attempts, circuits
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, DeliveryRecord
from bellhop.deliveries import delivery_id
from bellhop.outcomes import COUNTERS, OutcomeDay
from bellhop.registry import App, AuditEntry
from deliver.attempt.verdict import judge
from deliver.http.response import Response
from tests.simulation.faults import FREEZES
from tests.simulation.faulty_fleet import HANGS, Post
from tests.simulation.simulated_functions import CACHE_SECONDS, DELAYS
from tests.simulation.story import Story
from tests.simulation.world import APPS, World
from tests.support.fakes import NOW

# For so long a process may go by what it read: its cache, and what froze it on the way from there to the POST.
STALE_SECONDS = CACHE_SECONDS + 3 * max(FREEZES) + 10 * HANGS
GENERATION_ENDS = ("disabled", "enabled", "url_changed", "registered")
WAITED_TOO_LONG = (
    "delivery exhausted: its app was paused for as long as its retries would have taken",
    "delivery exhausted: under its app's rate it would wait longer than its retries take",
)


def broken(world: World, story: Story) -> list[str]:
    """Every rule that does not hold."""
    return [
        *_unaccounted(world),
        *_unwanted(world),
        *_forked(world),
        *_altered(world),
        *_overcounted(world),
        *_transitions(world),
        *_mails(world),
        *_waiting(world),
        *(_repeated(world) if story.rate == 0.0 else ()),
    ]


def _unaccounted(world: World) -> Iterator[str]:
    """Deliveries that came to no end that a person was told of.

    Where a queue was purged, the message that would have told of an exhausted one may have been on it.
    """
    fleet = world.fleet
    records = {row.delivery_id: row for row in DeliveryRecord.scan()}
    accepted = {post.delivery_id for post in fleet.posts if isinstance(post.outcome, Response) and post.outcome.ok}
    announced = {json.loads(each["Detail"])["delivery_id"] for each in _published(world, "exhausted")}
    skipped = {each.get("delivery_id") for _, text, each in fleet.telemetry.lines if "skipped" in text}
    for event_id, at in world.published:
        for app_id in APPS:
            name = delivery_id("acme", event_id, f"in-{app_id}")
            row = records.get(name)
            if row is None and name not in accepted | skipped and _always_wanted(world, app_id, at):
                yield f"{name} of {app_id} is lost: {event_id} was published at {at}"
            elif row is not None:
                told = name in announced or bool(fleet.purged)
                yield from _unfinished(world, row, accepted=name in accepted, told=told)


def _unfinished(world: World, row: DeliveryRecord, *, accepted: bool, told: bool) -> Iterator[str]:
    waits = row.state in {RETRYING, PARKED}
    if waits and _registered(world, row.app_id):
        yield f"{row.delivery_id} of {row.app_id} is {row.state} for ever"
    elif row.state == EXHAUSTED and not told:
        yield f"{row.delivery_id} of {row.app_id} is exhausted, and nobody was told"
    elif row.state == DELIVERED and not accepted:
        yield f"{row.delivery_id} of {row.app_id} is delivered, and was never accepted"


def _unwanted(world: World) -> Iterator[str]:
    """Webhooks that nobody wanted: beyond the cache's time the app was off, or its hook did not ask."""
    for post in _webhooks(world):
        since = post.began - STALE_SECONDS
        facts = world.history.between(post.app_id, since, post.at)
        if not any(each.on for each in facts):
            yield f"{post.delivery_id} went to {post.app_id}, which was off"
        if not any(each.wanted for each in facts):
            yield f"{post.delivery_id} went to {post.app_id}, whose hook did not want it"
        if post.url not in {each.url for each in facts}:
            yield f"{post.delivery_id} went to an old URL of {post.app_id}"


def _forked(world: World) -> Iterator[str]:
    """Chains that forked, ended early, or went on beyond their budget."""
    waited = {each["delivery_id"] for text in WAITED_TOO_LONG for each in world.fleet.telemetry.logged(text)}
    for row in DeliveryRecord.scan():
        numbers = [int(each["n"]) for each in row.attempts]
        ids = Counter(each["request_id"] for each in row.attempts)
        if any(after not in {before + 1, 1} for before, after in pairwise(numbers)):
            yield f"{row.delivery_id} has the attempts {numbers}"
        if max(ids.values(), default=0) > 1:
            yield f"{row.delivery_id} has an attempt twice"
        if not world.again and len(numbers) > 1 + len(DELAYS):
            yield f"{row.delivery_id} has {len(numbers)} attempts"
        early = row.state == EXHAUSTED and row.attempts_made < 1 + len(DELAYS)
        if early and row.delivery_id not in waited:
            yield f"{row.delivery_id} is exhausted after {row.attempts_made} attempts"


def _altered(world: World) -> Iterator[str]:
    """Webhooks whose bytes changed from attempt to attempt, or that no secret of their app has signed."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for post in world.fleet.posts:
        bodies[post.delivery_id].add(post.body)
        secrets = (f"{post.app_id}-{number}".ljust(40, "x").encode() for number in range(len(APPS) * 30))
        signature = post.headers["Sentry-Hook-Signature"]
        if not any(hmac.new(each, post.body, hashlib.sha256).hexdigest() == signature for each in secrets):
            yield f"{post.delivery_id} is signed by no secret of {post.app_id}"
    yield from (f"{name} was sent with {len(each)} bodies" for name, each in bodies.items() if len(each) > 1)


def _overcounted(world: World) -> Iterator[str]:
    """Counters above the truth; what never reached an endpoint is not in the posts, so it may not be counted."""
    truth = Counter((post.app_id, str(judge(post.outcome, NOW).counter)) for post in _webhooks(world))
    counted: Counter[tuple[str, str]] = Counter()
    for row in OutcomeDay.scan():
        counted.update({(row.app_id, name): int(getattr(row, name)) for name in COUNTERS})
    for (app_id, name), number in counted.items():
        if number > truth[app_id, name]:
            yield f"{app_id} has {number} counted as {name}, of {truth[app_id, name]}"


def _transitions(world: World) -> Iterator[str]:
    """Generations that ended never or twice, and follow-ups that are not finished."""
    for app_id in APPS:
        entries = list(AuditEntry.query(app_id))
        ended = [
            entry.transition_id.split("#") for entry in entries if entry.transition_id.endswith(GENERATION_ENDS)
        ]
        last = -1
        for number, kind in ((int(text), kind) for text, kind in ended):
            # Nobody notes the end of what was deleted by hand; who registers it again leaves its numbers free.
            if number != last + 1 and not (kind == "registered" and number > last):
                yield f"generation {number} of {app_id} ended after {last}"
            last = number
        if _registered(world, app_id) and int(App.get(app_id).generation) != last + 1:
            yield f"{app_id} is in generation {App.get(app_id).generation}, and the last that ended is {last}"
        for entry in entries:
            if not entry.finished_at and not _may_be_lost(world, entry):
                yield f"what follows {entry.transition_id} of {app_id} is not finished"


def _mails(world: World) -> Iterator[str]:
    """More than one mail for an owner and a transition, or one that still waits."""
    sent = Counter(
        (mail["Destination"]["ToAddresses"][0], json.dumps(mail["EmailTags"])) for mail in world.fleet.ses.sent
    )
    yield from (f"{number} mails for {what}" for what, number in sent.items() if number > 1)
    for app_id in APPS:
        for entry in AuditEntry.query(app_id):
            waits = {"pending", "sending"} & set(entry.mails.attribute_values.values())
            if waits and not _may_be_lost(world, entry):
                yield f"a mail about {entry.transition_id} of {app_id} is {waits}"


def _waiting(world: World) -> Iterator[str]:
    """What waits for ever: messages, dead letters, pauses, what is listed as parked."""
    if not world.fleet.idle:
        yield "a message or a worker is still there"
    yield from (f"a dead letter on {each.queue}: {each.body[:200]}" for each in world.fleet.dead)
    for app_id in filter(lambda name: _registered(world, name), APPS):
        if circuits.is_paused(app_id, int(App.get(app_id).generation)):
            yield f"{app_id} is paused for ever"
        for row in attempts.replayable(app_id, None, 9, exhausted=False):
            yield f"{row.delivery_id} of {app_id} is listed as parked for ever"


def _repeated(world: World) -> Iterator[str]:
    """Where no call fails and nobody sends anything again, nothing arrives twice."""
    if world.again or world.fleet.purged:
        return
    accepted = Counter(p.delivery_id for p in _webhooks(world) if isinstance(p.outcome, Response) and p.outcome.ok)
    yield from (f"{name} was accepted {number} times" for name, number in accepted.items() if number > 1)


def _webhooks(world: World) -> Iterator[Post]:
    return (post for post in world.fleet.posts if post.resource != "ping")


def _published(world: World, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in world.fleet.published if entry["DetailType"].endswith(kind)]


def _may_be_lost(world: World, entry: AuditEntry) -> bool:
    """Whether the message of what follows a transition was purged, or is one that nobody would send.

    Who made the transition died before it was announced. Then the sweep does that, unless the app was deleted.
    """
    deleted = not _registered(world, entry.app_id)
    return bool(world.fleet.purged) or (deleted and not entry.announced_at)


def _registered(world: World, app_id: str) -> bool:
    return (app_id, None) in world.tables.tables["apps"].items


def _always_wanted(world: World, app_id: str, at: float) -> bool:
    facts = world.history.between(app_id, at - STALE_SECONDS, world.at())
    return all(each.wanted for each in facts)
