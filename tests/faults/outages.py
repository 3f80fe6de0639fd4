"""An outage of one part of the deployed template, under traffic; and what became of every delivery."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from bellhop import attempts, circuits
from bellhop.deliveries import delivery_id
from bellhop.outcomes import COUNTERS, OutcomeDay
from bellhop.registry import DISABLED, App
from bellhop.text import unlinked
from infra.local.build import ROOT
from tests.faults.outage_account import Account, Sent, Span
from tests.faults.outage_parts import PARTS
from tests.faults.outage_scene import FIRST_RETRY_SECONDS, AppAtEndpoint, Operator, Scene, deployed

BEFORE_SECONDS = 60.0  # of traffic, and
AFTER_SECONDS = 180.0
LOGS = ROOT / ".local" / "outages"

Progress = Callable[[str], None]


def measure(name: str, seconds: float, on_progress: Progress) -> dict[str, Any]:
    """Let a part fail for so long; return the figures. The log of the embedded AWS stays in .local/outages."""
    on_progress(f"{name}: deploying")
    with deployed(PARTS[name]) as scene:
        try:
            return _measured(scene, seconds, lambda step: on_progress(f"{name}: {step}"))
        finally:
            LOGS.mkdir(parents=True, exist_ok=True)
            shutil.copy(scene.stack.aws.log, LOGS / f"{name}.log")


def _measured(scene: Scene, seconds: float, on_progress: Progress) -> dict[str, Any]:
    start = time.time()
    scene.publish_until(start + BEFORE_SECONDS)
    outage = Span(time.time(), start + BEFORE_SECONDS + seconds)
    on_progress(f"the outage begins, for {seconds:g} s")
    scene.begin_outage()
    killed = _let_it_last(scene, outage)
    scene.end_outage()
    outage = Span(outage.start, time.time())
    on_progress("the outage has ended")
    scene.publish_until(outage.end + AFTER_SECONDS)
    traffic = Span(start, time.time())
    on_progress("waiting for what is under way")
    operator = Operator(scene)
    operator.mend()
    return {
        "seconds": seconds,
        "events": len(scene.published),
        "calls_failed": sum(scene.proxy.injected.values()),
        "killed": killed,
        "redriven": operator.redriven,
        "not_redriven": operator.not_redriven,
        "follow_ups_finished": operator.follow_ups_finished,
        "mails": _mails(scene) | {"resent": operator.mails_resent},
        **_apps(scene),
        **_account(scene, traffic, outage).summary(),
    }


def _let_it_last(scene: Scene, outage: Span) -> int:
    """Publish while the outage lasts; let one endpoint after the other retire, and processes die in the middle."""
    killed, parts = 0, len(scene.retiring) + 1
    for number in range(parts):
        scene.publish_until(outage.start + (outage.end - outage.start) * (number + 1) / parts)
        if number < len(scene.retiring):
            scene.retiring[number].endpoint.gone = True
        if number == parts // 2:
            killed = scene.kill_processes()
    return killed


def _mails(scene: Scene) -> dict[str, int]:
    """How many mails the owners were to get, how many they got, and how many owners got one too many."""
    mails, found = scene.stack.mails(), Counter[str]()
    for app in scene.apps:
        due = Counter(
            owner for entry in scene.entries() if entry.app_id == app.hook.app_id for owner in entry.mails
        )
        got = Counter(
            owner for mail in mails if unlinked(app.hook.url) in mail["BodyText"] for owner in mail["To"]
        )
        found.update(due=due.total(), got=got.total(), twice=(got - due).total(), never=(due - got).total())
    return dict(found)


def _apps(scene: Scene) -> dict[str, Any]:
    """What the apps were charged with, beside what their endpoints did."""
    counted, given = Counter[str](), Counter[str]()
    above = 0
    for app in scene.apps:
        rows = list(OutcomeDay.query(f"{app.hook.app_id}#{scene.tenant.organization}"))
        own = Counter({name: sum(int(getattr(row, name)) for row in rows) for name in COUNTERS})
        ok = sum(each.status == 200 for each in app.endpoint.arrivals)
        above += own["success"] > ok
        counted.update(success=own["success"], failure=own.total() - own["success"])
        given.update(success=ok, failure=len(app.endpoint.arrivals) - ok)
    staying = [app.hook.app_id for app in scene.staying]
    return {
        "counted": dict(counted),
        "given": dict(given),
        "successes_above_truth": above,
        "paused": sum(_was_paused(app_id) for app_id in staying),
        "off": sum(App.get(app_id).state == DISABLED for app_id in staying),
        "retired_off": sum(App.get(app.hook.app_id).state == DISABLED for app in scene.retiring),
        "warned": sum(entry.action == "app.warned" for entry in scene.entries()),
        "ends": dict(Counter(each.end for app in scene.staying for each in _sent(scene, app))),
        "ends_retired": dict(Counter(each.end for app in scene.retiring for each in _sent(scene, app))),
    }


def _was_paused(app_id: str) -> bool:
    circuit = circuits.load(app_id)
    return bool(circuit.paused_since or circuit.closed_at)


def _account(scene: Scene, traffic: Span, outage: Span) -> Account:
    sent = [each for app in scene.staying for each in _sent(scene, app)]
    requests = [(app.hook.app_id, each.at) for app in scene.apps for each in app.endpoint.arrivals]
    return Account(traffic, outage, sent, sorted(requests, key=lambda each: each[1]))


def _sent(scene: Scene, app: AppAtEndpoint) -> Iterator[Sent]:
    """The app's deliveries."""
    waits = {500: FIRST_RETRY_SECONDS, 503: max(FIRST_RETRY_SECONDS, scene.part.retry_after)}
    due: dict[str, float] = {}
    successes: dict[str, list[float]] = {}
    for each in app.endpoint.arrivals:
        if each.status == 200:
            successes.setdefault(each.webhook_id, []).append(each.at)
        elif each.status in waits:
            due.setdefault(each.webhook_id, each.at + waits[each.status])
    for event_id, published in scene.published.items():
        identifier = delivery_id(scene.tenant.organization, event_id, f"installation-{app.hook.app_id}")
        arrived = tuple(successes.get(identifier, ()))
        end = "delivered" if arrived else _end(identifier)
        yield Sent(app.hook.app_id, published, due.get(identifier, published), end, arrived)


def _end(identifier: str) -> str:
    record = attempts.load(identifier)
    return record.state if record else "lost"
