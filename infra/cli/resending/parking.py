"""What of a resend is parked, as its app is paused: a person is told before it, and when the resend is over."""

from collections.abc import Collection
from datetime import datetime

from bellhop import resend_jobs
from infra.cli import terminal
from infra.cli.condition import read_conditions
from infra.cli.terminal import line
from infra.cli.views import read_records


def pauses(app_ids: Collection[str], now: datetime) -> dict[str, str]:
    """Of those of these apps that are on and paused, a sentence about what is resent."""
    _, standing = read_conditions(app_ids, now)
    return {
        app_id: f"{app_id} is {stands.text()}: what is resent of it is parked, and sent when the pause ends"
        for app_id, stands in sorted(standing.items())
        if stands.paused_since is not None and not stands.off
    }


def tell(app_ids: Collection[str], now: datetime, *, as_json: bool) -> Collection[str]:
    """Of which of these apps what is resent is parked; it is said, unless the JSON has it."""
    paused = pauses(app_ids, now)
    for each in () if as_json else paused.values():
        line(terminal.console(), each, "yellow")
    return paused


def apps_of_job(job_id: str) -> set[str]:
    """The apps of a job's first page, on which apps take turns; none where it is not kept any more."""
    page = resend_jobs.read_page(job_id, 0) or []
    return {record.app_id for record in read_records(each.delivery_id for each in page)}
