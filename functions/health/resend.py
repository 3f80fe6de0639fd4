"""Resending many deliveries: a chain of messages on the Transitions queue, each of which resends one page.

The list stands in pages beside the job's row. A message may come twice: what the job made due before is known by
the time of its resending, and is not resent again. The next message is sent before the row says that the page is
done, so the chain does not break; a copy of a message that finds the row ahead of it ends.

While what it sent is not attempted, it goes on slowly, as a replay does: all of that would go out at once when the
retry queue catches up, and not at the rate.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bellhop import queues, resend_jobs, resends
from bellhop.queues import MAX_DELAY
from bellhop.resend_jobs import ResendJob, ResendStep
from bellhop.resends import RESENT, Chosen, Hooks, Result, Times
from health import pages
from health.dependencies import HealthDependencies
from health.pages import BEHIND_SECONDS, PAGE, WORTH_SECONDS

SAMPLE = 10  # deliveries of an earlier page, by which a resend sees whether the retry queue is behind
STOPPED = "a person stopped it"
EXPIRED = "its list is not kept any more"


class ResendError(Exception):
    """Not all of a page could be sent; its message must come back."""


def step(message: ResendStep, deps: HealthDependencies) -> None:
    """Resend a page, and send the message for the next one; nothing if a person stopped the job.

    Raises:
        ResendError: SQS did not take the whole page.
    """
    job, began = resend_jobs.load(message.job_id), deps.now().timestamp()
    if job is None:
        deps.telemetry.warning(f"resend ended: {EXPIRED}", **_names(message))
        return
    if int(job.page) > message.page:
        deps.telemetry.info("resend's message dropped: a copy of it is ahead", **_names(message))
        return
    page = resend_jobs.read_page(message.job_id, message.page)
    if page is None or job.is_stopped:
        _end(message, job, STOPPED if page else EXPIRED, deps)
        return
    behind = _is_behind(job, message, deps)
    results = _resend(page, job, deps)
    _send(results, float(job.rate), deps)
    done = next_step(message, results)
    if done.page < int(job.pages):
        due = began + sum(each.retry is not None for each in results) / float(job.rate)
        _send_next(done, max(due, began + BEHIND_SECONDS) if behind else due, deps)
        return
    resend_jobs.end(done, deps.now().timestamp())
    deps.telemetry.info("resend finished", **_names(done))


def _end(message: ResendStep, job: ResendJob, reason: str, deps: HealthDependencies) -> None:
    stopped = float(job.stopped) if reason == STOPPED else None
    if resend_jobs.end(message, deps.now().timestamp(), reason, stopped=stopped):
        deps.telemetry.warning(f"resend ended: {reason}; the rest is as it was", **_names(message))
    else:
        deps.telemetry.info("resend's message dropped: a person went on with it meanwhile", **_names(message))


def next_step(done: ResendStep, results: Sequence[Result]) -> ResendStep:
    """What comes after a page of which that became."""
    outcomes = Counter(each.outcome for each in results)
    sent = outcomes.pop(RESENT, 0)
    left = {reason: done.left.get(reason, 0) + outcomes[reason] for reason in {**done.left, **outcomes}}
    return replace(done, page=done.page + 1, sent=done.sent + sent, left=left)


def _is_behind(job: ResendJob, message: ResendStep, deps: HealthDependencies) -> bool:
    """Whether most of the page that was sent some ten seconds ago, or of the last one, is not attempted yet."""
    back = math.ceil(max(1.0, WORTH_SECONDS * float(job.rate) / PAGE))
    page = resend_jobs.read_page(message.job_id, message.page - back) if message.page >= back else None
    sample = (page or [])[:: PAGE // SAMPLE]
    waiting = sum(resends.waits(each, float(job.began), deps.now()) for each in sample)
    return 2 * waiting > len(sample)


def _resend(page: Sequence[Chosen], job: ResendJob, deps: HealthDependencies) -> list[Result]:
    hooks, results, sent = Hooks(), list[Result](), 0
    for chosen in page:
        now = deps.now()
        times = Times(float(job.began), now.timestamp() + pages.delay(sent, float(job.rate)))
        results.append(resends.resend(chosen, times, hooks, now))
        sent += results[-1].retry is not None
    left = {each.delivery_id: each.outcome for each in results if each.outcome != RESENT}
    if left:
        deps.telemetry.warning("deliveries not resent", job_id=job.job_id, deliveries=left)
    return results


def _send(results: Sequence[Result], rate: float, deps: HealthDependencies) -> None:
    retries = [each.retry for each in results if each.retry]
    failed = pages.send(retries, rate, deps)
    if failed:
        raise ResendError(f"SQS did not take {failed} of {len(retries)} retries")


def _send_next(following: ResendStep, due: float, deps: HealthDependencies) -> None:
    now = deps.now().timestamp()
    deps.send_later(following, max(1, queues.delay(due - now)))
    resend_jobs.note(following, now + MAX_DELAY + deps.overdue_seconds)


def _names(message: ResendStep) -> dict[str, Any]:
    return {"job_id": message.job_id, "page": message.page, "sent": message.sent}
