"""What must be true of counters, transitions and mail: each broken rule in words."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from bellhop.outcomes import COUNTERS, OutcomeDay
from bellhop.registry import ENABLED, App, AuditEntry
from deliver.http.response import Response, SendFailure
from health.rules import ERRORS, FATAL, PAUSE, TIMEOUTS
from tests.simulation.history import Facts
from tests.simulation.world import APPS, SKEW_SECONDS, STALE_SECONDS, World

GENERATION_ENDS = ("disabled", "enabled", "url_changed", "registered", "deleted")
UNCOUNTED = {429: "nothing", 410: "fatal"}  # what is no error though it is no success


def broken(world: World) -> list[str]:
    """Every rule that does not hold."""
    return [
        *_overcounted(world),
        *_transitions(world),
        *_switched_off(world),
        *_left_on(world),
        *_mails(world),
    ]


def truth(world: World) -> Counter[tuple[str, str]]:
    """What each app's counters would be if all was counted: what endpoints were seen to do, but to alerts."""
    issues = (post for post in world.webhooks() if post.resource == "issue")
    return Counter((post.app_id, _counter(post.outcome)) for post in issues)


def counted(world: World) -> Counter[tuple[str, str]]:
    """What each app's counters are, over all days and generations."""
    sums: Counter[tuple[str, str]] = Counter()
    for row in OutcomeDay.scan():
        sums.update({(row.app_id, name): int(getattr(row, name)) for name in COUNTERS})
    return sums


def _counter(outcome: Response | SendFailure) -> str:
    if isinstance(outcome, SendFailure):
        return "timeout"
    return "success" if outcome.ok else UNCOUNTED.get(outcome.status, "error")


def _overcounted(world: World) -> Iterator[str]:
    """Counters above the truth; what never reached an endpoint is not in the posts, so it may not be counted."""
    true = truth(world)
    for (app_id, name), number in counted(world).items():
        if number > true[app_id, name]:
            yield f"{app_id} has {number} counted as {name}, of {true[app_id, name]}"


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
        if world.registered(app_id) and int(App.get(app_id).generation) != last + 1:
            yield f"{app_id} is in generation {App.get(app_id).generation}, and the last that ended is {last}"
        for entry in entries:
            if not entry.finished_at and not _may_be_lost(world, entry):
                yield f"what follows {entry.transition_id} of {app_id} is not finished"


def _switched_off(world: World) -> Iterator[str]:
    """What health did to an app of another kind, without a cause in its generation, or told to others."""
    for app_id in APPS:
        for entry in AuditEntry.query(app_id):
            if entry.actor != "health":
                continue
            at = datetime.fromisoformat(entry.at).timestamp()
            facts = world.history.between(app_id, at - STALE_SECONDS, at + SKEW_SECONDS)
            what, off = f"{entry.transition_id} of {app_id}", entry.action == "app.disabled"
            if (off or entry.mails.attribute_values) and not any(each.internal for each in facts):
                yield f"{what}: it is not internal, and is never switched off"
            if off and not _has_cause(entry, facts, world):
                yield f"{what}: there is no cause, {entry.evidence['rule']}"
            if entry.organization_id not in {each.owner if each.internal else "acme" for each in facts}:
                yield f"{what}: the owners of {entry.organization_id} were told, which it does not belong to"


def _has_cause(entry: AuditEntry, facts: list[Facts], world: World) -> bool:
    generation, limits = int(entry.transition_id.split("#")[0]), world.fleet.parameters.thresholds
    rows = [row for row in OutcomeDay.scan() if (row.app_id, row.generation) == (entry.app_id, generation)]
    failing = entry.evidence["days"][-limits.error_days :]
    causes = {
        FATAL: any(row.fatal for row in rows),
        TIMEOUTS: any(row.timeout >= limits.timeouts_per_day for row in rows),
        ERRORS: all(day["error"] and not day["success"] for day in failing) and any(row.error for row in rows),
        PAUSE: any(each.paused_since is not None for each in facts),
    }
    return causes[entry.evidence["rule"]]


def _left_on(world: World) -> Iterator[str]:
    """Apps that are on though they are broken, and always were internal."""
    limit = world.fleet.parameters.thresholds.timeouts_per_day
    for app_id in filter(world.registered, APPS):
        app = App.get(app_id)
        facts = world.history.between(app_id, 0.0, world.at())
        if app.state != ENABLED or not all(each.internal for each in facts if each.url):
            continue
        for row in OutcomeDay.scan():
            this = (row.app_id, row.generation) == (app_id, app.generation)
            if this and (row.fatal or row.timeout >= limit):
                yield f"{app_id} is on, with {row.fatal} fatal and {row.timeout} timeouts on {row.day}"


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


def _may_be_lost(world: World, entry: AuditEntry) -> bool:
    """Whether the message of what follows a transition was purged, or is one that nobody would send.

    Who made the transition died before it was announced. Then the sweep does that, unless the app was deleted.
    """
    deleted = not world.registered(entry.app_id)
    return bool(world.fleet.purged) or (deleted and not entry.announced_at)
