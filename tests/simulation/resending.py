"""What an operator's command does to resend many deliveries: opens their records, lists them, asks health."""

from itertools import count, islice

from bellhop import resend_jobs
from bellhop.attempts import KEPT
from bellhop.resend_jobs import ResendStep
from bellhop.resends import Chosen
from infra.cli.resending.selection import Choice, by_choice
from infra.cli.resending.sending import opened
from tests.simulation.faulty_fleet import FaultyFleet

PAGE = 3  # deliveries: few, so that a list has several pages
RATE = 0.5  # a second
_NUMBERS = count(1)


def begin(fleet: FaultyFleet, app_id: str) -> str:
    """Resend what is kept of an app; the job's id."""
    now, job_id = fleet.clock(), f"{app_id}-{next(_NUMBERS)}"
    found = [opened(each, now) for each in by_choice(Choice(app_id, now - KEPT, now))]
    chosen = iter([each for each in found if isinstance(each, Chosen)])
    pages = total = 0
    while page := [*islice(chosen, PAGE)]:
        resend_jobs.write_page(job_id, pages, page, now)
        pages, total = pages + 1, total + len(page)
    if pages:
        first = ResendStep(job_id, 0, 0, {})
        resend_jobs.begin(first, total, pages, RATE, now, lost_after=8100.0)
        fleet.queues().announce(first)
    return job_id


def stop(fleet: FaultyFleet, app_id: str) -> None:
    """Stop the app's newest resend."""
    newest = next((job for job in resend_jobs.not_over(9) if job.job_id.startswith(app_id)), None)
    if newest:
        resend_jobs.stop(newest.job_id, fleet.clock.seconds())
