"""Running the posts of a batch side by side, so that no endpoint holds more than its share of the slots."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from deliver.attempt import signing
from deliver.dependencies import DeliverDependencies, Job
from deliver.http.hub import Hub
from deliver.http.response import Response, SendFailure

Post = Callable[[str, dict[str, str], bytes], Response | SendFailure]


@dataclass(frozen=True, slots=True)
class Made:
    """An attempt that was made; without an outcome it was not, because its endpoint held its share of slots."""

    outcome: Response | SendFailure | None
    at: datetime
    milliseconds: int
    request_id: str


@dataclass(frozen=True)
class Workers:
    """What makes the attempts: `may_start` says whether there is time left for another one."""

    slots: int
    post: Post
    may_start: Callable[[], bool]
    pause: Callable[[int], None]


Item = tuple[str, Job]
Ended = tuple[str, Job, Made | Exception | None]


def post_all(jobs: Sequence[Item], deps: DeliverDependencies, workers: Workers) -> list[Ended]:
    """Make the attempts; each with what came of it, in the order they end. None where no time was left for it.

    All at once rather than one by one: whatever is written in between would hold up the attempts that still
    run, and could make a healthy endpoint miss its deadline.

    While deliveries wait for a slot, one app holds at most its share. When an app's endpoint has let the
    deadline pass, what still waits of it goes back unattempted: it would only hold slots again.
    """
    waiting, hub, ended = deque(jobs), Hub[Ended](), list[Ended]()
    share = _share(jobs, workers.slots)
    held: Counter[str] = Counter()
    hanging: set[str] = set()
    with closing(hub):
        while waiting or held.total():
            for item in _startable(waiting, held, share, workers.slots - held.total()):
                held[item[1].delivery.app_id] += 1
                hub.start(partial(_made, item, deps, workers))
            for message_id, job, made in hub.wait():
                held[job.delivery.app_id] -= 1
                if _timed_out(made):
                    hanging.add(job.delivery.app_id)
                ended.append((message_id, job, made))
            ended += _excess(waiting, hanging, deps)
    return ended


def _share(jobs: Sequence[Item], slots: int) -> int:
    apps = {job.delivery.app_id for _, job in jobs}
    nobody_waits = len(jobs) <= slots or len(apps) == 1
    return slots if nobody_waits else max(1, slots // 2)


def _timed_out(made: Made | Exception | None) -> bool:
    outcome = made.outcome if isinstance(made, Made) else None
    return isinstance(outcome, SendFailure) and outcome.kind == "timeout"


def _startable(waiting: deque[Item], held: Counter[str], share: int, free: int) -> list[Item]:
    """Take from the waiting those that have a slot now."""
    chosen: list[Item] = []
    taken = Counter(held)
    for item in list(waiting):
        app_id = item[1].delivery.app_id
        if len(chosen) < free and taken[app_id] < share:
            taken[app_id] += 1
            chosen.append(item)
            waiting.remove(item)
    return chosen


def _excess(waiting: deque[Item], hanging: set[str], deps: DeliverDependencies) -> Iterator[Ended]:
    for item in [item for item in waiting if item[1].delivery.app_id in hanging]:
        waiting.remove(item)
        yield *item, Made(None, deps.now(), 0, "")


def _made(item: Item, deps: DeliverDependencies, workers: Workers) -> Ended:
    try:
        return *item, _attempt(item[1], deps, workers)
    except Exception as error:  # noqa: BLE001 - a fault of ours, handed to whoever keeps the one message it touched
        return *item, error


def _attempt(job: Job, deps: DeliverDependencies, workers: Workers) -> Made | None:
    """Runs beside the others: signs and posts, touches nothing else."""
    if not workers.may_start():
        return None
    at, request_id = deps.now(), deps.token()
    timestamp = int(at.timestamp())
    headers = signing.headers(job.delivery, job.keys, request_id, timestamp, job.app.headers)
    outcome = workers.post(job.app.url, headers, job.delivery.body)
    return Made(outcome, at, round((deps.now() - at).total_seconds() * 1000), request_id)
