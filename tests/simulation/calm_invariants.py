"""What must be true of a world in which no call failed and no message was lost: each broken rule in words."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations, pairwise

from bellhop.attempts import DeliveryRecord
from bellhop.outcomes import COUNTERS, OutcomeDay
from deliver.circuit.rate import MAX_TRIAL_SECONDS
from deliver.http.response import Response
from tests.simulation import health_invariants
from tests.simulation.faulty_fleet import HANGS, Post
from tests.simulation.world import APPS, SKEW_SECONDS, STALE_SECONDS, World

LONGEST_RETRY_AFTER = 86_400.0
PACE_SECONDS = 2 * SKEW_SECONDS + 1  # by which clocks that differ may change the order in which a rate lets go


def broken(world: World) -> list[str]:
    """Every rule that does not hold."""
    return [
        *_repeated(world),
        *_unlogged(world),
        *_uncounted(world),
        *_out_of_order(world),
        *_hurried(world),
    ]


def _repeated(world: World) -> Iterator[str]:
    """What arrived twice, although nobody sent it again."""
    accepted = Counter((post.app_id, post.delivery_id) for post in world.webhooks() if _ok(post))
    for (app_id, name), number in accepted.items():
        if number > 1 and not world.sent_again(app_id, name):
            yield f"{name} was accepted {number} times"


def _unlogged(world: World) -> Iterator[str]:
    """Attempts that failed and are not in the record: two workers made the same, or one was not to be made."""
    logged = {each["request_id"] for row in DeliveryRecord.scan() for each in row.attempts}
    for post in world.webhooks():
        again = world.sent_again(post.app_id, post.delivery_id)
        if not _ok(post) and not again and post.headers["Request-ID"] not in logged:
            yield f"an attempt of {post.delivery_id} at {post.at} is not in its record"


def _uncounted(world: World) -> Iterator[str]:
    """Failures that were not counted, and days with a success of which none was."""
    counted, truth = health_invariants.counted(world), health_invariants.truth(world)
    for app_id in APPS:
        for name in set(COUNTERS) - {"success"}:
            if counted[app_id, name] < truth[app_id, name]:
                yield f"{app_id} has {counted[app_id, name]} counted as {name}, of {truth[app_id, name]}"
    succeeded = {(row.app_id, row.day) for row in OutcomeDay.scan() if row.success}
    for post in world.webhooks():
        days = {_day(post.at - SKEW_SECONDS), _day(post.at + SKEW_SECONDS)}
        if _ok(post) and post.resource == "issue" and not any((post.app_id, day) in succeeded for day in days):
            yield f"{post.app_id} has no success counted on {days}"


def _out_of_order(world: World) -> Iterator[str]:
    """Parked deliveries that were released before older ones; of a common app, before others under like keys."""
    lines = world.fleet.telemetry.lines
    parked = Counter(
        name for _, text, each in lines if "parked: their app" in text for name in each["delivery_ids"]
    )
    # What was deferred, also by a fault of ours, is parked when it is due again, and has its place by that.
    later = ("delivery deferred", "attempt not made, by a fault of ours")
    deferred = {each["delivery_id"] for _, text, each in lines if text.startswith(later)}
    first: dict[str, float] = {}
    for post in world.webhooks():
        first.setdefault(post.delivery_id, post.at)
    hung = [post.at for post in world.webhooks() if not _ok(post)]  # perhaps, with all that came in its batch
    rows = [
        row
        for row in DeliveryRecord.scan()
        if parked[row.delivery_id] == 1
        and row.delivery_id in world.fleet.released  # otherwise it was delivered by a trial, before all others
        and row.delivery_id not in deferred
        and first.get(row.delivery_id, 0.0) > row.opened_at
        and not world.sent_again(row.app_id, row.delivery_id)
    ]
    listed = world.fleet.under_further
    for one, other in combinations(sorted(rows, key=lambda row: row.opened_at), 2):
        together = listed[one.delivery_id] == listed[other.delivery_id] and len(listed[one.delivery_id]) == 1
        facts = world.history.between(one.app_id, one.opened_at - STALE_SECONDS, first[other.delivery_id])
        if not together and not all(each.internal for each in facts):
            continue
        older = one.app_id == other.app_id and one.opened_at < other.opened_at - 2 * SKEW_SECONDS
        sent, first_sent = first[one.delivery_id], first[other.delivery_id]
        if older and first_sent < sent - PACE_SECONDS and not any(first_sent - HANGS <= at <= sent for at in hung):
            yield f"{other.delivery_id} of {one.app_id} was released before {one.delivery_id}, which is older"


def _hurried(world: World) -> Iterator[str]:
    """Trials of an app that is paused, and whose endpoint had asked not to be called so soon."""
    for app_id in APPS:
        posts = [post for post in world.webhooks() if post.app_id == app_id]
        for before, after in pairwise(posts):
            facts = world.history.between(app_id, before.began - STALE_SECONDS, after.at)
            paused = {each.paused_since for each in facts}
            internal = all(each.internal for each in facts)
            wait = _retry_after(before) if internal else min(_retry_after(before), MAX_TRIAL_SECONDS)
            if len(paused) == 1 and None not in paused and after.at - before.at < wait - 2 * SKEW_SECONDS:
                yield f"{app_id} asked for {wait} s, and its next trial came after {after.at - before.at} s"


def _retry_after(post: Post) -> float:
    asked = post.outcome.headers.get("retry-after", "0") if isinstance(post.outcome, Response) else "0"
    return min(float(asked), LONGEST_RETRY_AFTER)


def _ok(post: Post) -> bool:
    return isinstance(post.outcome, Response) and post.outcome.ok


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
