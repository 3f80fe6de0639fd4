"""A resend job: many deliveries that health resends in the background, at a rate.

Its list stands in the table of the delivery records, in pages, so that one message that names a page is enough,
and what was not sent yet can be gone on with after a stop. The job's row says how far it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import Any

from pynamodb.attributes import JSONAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop import attempts
from bellhop.attempts import DeliveryRecord
from bellhop.registry import find
from bellhop.resends import Chosen
from bellhop.tables import change

_KEY = "resend#"  # no delivery's id begins so
_LISTED_UNDER = "#resends"  # no app's id has this form


class ResendJob(Model):
    """A job: of `total` deliveries, on `pages`, `rate` are sent a second. Times are Unix seconds.

    `page` is the next one; `sent` and, by reason, `left` are of those before it. `chain_until`: until then its
    message is not taken for lost. `stopped`: a person stopped it then. `ended`: it is over since then; `end` says
    why, if something was not sent. While it is not over, it stands among the jobs in the index by_app, by when it
    `began`.
    """

    class Meta:
        table_name = "attempts"

    key = UnicodeAttribute(hash_key=True, attr_name="delivery_id")
    listed_under = UnicodeAttribute(attr_name="app_id", null=True)
    listed_at = UnicodeAttribute(attr_name="created_at", null=True)
    began = NumberAttribute()
    rate = NumberAttribute()
    total = NumberAttribute()
    pages = NumberAttribute()
    page = NumberAttribute()
    sent = NumberAttribute()
    left: JSONAttribute = JSONAttribute()
    chain_until = NumberAttribute()
    stopped = NumberAttribute(null=True)
    ended = NumberAttribute(null=True)
    end = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()

    @property
    def job_id(self) -> str:
        """Its id, as a person types it."""
        return str(self.key).removeprefix(_KEY)

    @property
    def is_stopped(self) -> bool:
        """Whether a person stopped it."""
        return bool(self.stopped)


class ResendPage(Model):
    """A page of a job's list: the deliveries, each as its id, its state, and how many attempts were made."""

    class Meta:
        table_name = "attempts"

    key = UnicodeAttribute(hash_key=True, attr_name="delivery_id")
    deliveries: JSONAttribute = JSONAttribute()
    expires_at = NumberAttribute()


@dataclass(frozen=True, slots=True)
class ResendStep:
    """Resend a page of a job: the next one after those of which so many were `sent`, and `left` by reason."""

    job_id: str
    page: int
    sent: int
    left: Mapping[str, int]


def write_page(job_id: str, number: int, chosen: Sequence[Chosen], now: datetime) -> None:
    """Write a page of a job that is about to begin."""
    rows = [[each.delivery_id, each.state, each.attempts_made] for each in chosen]
    page, kept = ResendPage(f"{_KEY}{job_id}#{number}"), ResendPage.expires_at.set(attempts.expiry(now))
    page.update(actions=[ResendPage.deliveries.set(rows), kept])


def read_page(job_id: str, number: int) -> list[Chosen] | None:
    """A page of a job; None where it is not kept any more."""
    page = find(ResendPage, f"{_KEY}{job_id}#{number}", consistent=True)
    return [Chosen(*row) for row in page.deliveries] if page else None


def begin(first: ResendStep, total: int, pages: int, rate: float, now: datetime, *, lost_after: float) -> None:
    """Write a job's row once its pages are written; afterwards `first` is to be sent.

    After so many seconds without a step its message is taken for lost.
    """
    row, key = ResendJob, f"{_KEY}{first.job_id}"
    actions: list[Any] = [
        *_listing(key, now),
        row.began.set(now.timestamp()),
        row.rate.set(rate),
        row.total.set(total),
        row.pages.set(pages),
        row.page.set(first.page),
        row.sent.set(first.sent),
        row.left.set(dict(first.left)),
        row.chain_until.set(now.timestamp() + lost_after),
        row.expires_at.set(attempts.expiry(now)),
    ]
    row(key).update(actions=actions)


def load(job_id: str) -> ResendJob | None:
    """The job as it is now, or None."""
    return find(ResendJob, f"{_KEY}{job_id}", consistent=True)


def not_over(number: int) -> list[ResendJob]:
    """So many of the jobs that go on, or are lost; the newest first."""
    rows = DeliveryRecord.by_app.query(_LISTED_UNDER, scan_index_forward=False, limit=number)
    found = (load(row.delivery_id.removeprefix(_KEY)) for row in rows)
    return [job for job in found if job and not job.ended]  # the index lags


def note(step: ResendStep, until: float) -> bool:
    """Note that the job is as far as `step`, and until when its message is not taken for lost.

    False where a copy of a message before it is ahead.
    """
    return _note(step, [ResendJob.chain_until.set(until)])


def end(step: ResendStep, now: float, reason: str | None = None, *, stopped: float | None = None) -> bool:
    """Note that the job is over at `step`, and why if something was not sent; False where a copy is ahead.

    With `stopped`, the time of the stop for which it ends, also False where a person went on with it since.
    """
    row = ResendJob
    unlisted = [row.listed_under.remove(), row.listed_at.remove()]
    actions = [row.ended.set(now), row.end.set(reason) if reason else row.end.remove(), *unlisted]
    return _note(step, actions, *([] if stopped is None else [row.stopped == stopped]))


def stop(job_id: str, now: float) -> bool:
    """Have a job end at its next step; False where it is over."""
    row = ResendJob
    return change(row(f"{_KEY}{job_id}"), [row.stopped.set(now)], row.began.exists() & row.ended.does_not_exist())


def go_on(job: ResendJob, rate: float, now: float, *, lost_after: float) -> ResendStep | None:
    """Undo a stop; returns what is then to be sent. Where the job goes on already, one of the two ends.

    None, and nothing changed, where it went on, was stopped or ended since `job` was read.
    """
    row = ResendJob
    listing = _listing(str(job.key), datetime.fromtimestamp(float(job.began), UTC))
    again = [row.rate.set(rate), row.chain_until.set(now + lost_after), *listing]
    gone = [each.remove() for each in (row.stopped, row.ended, row.end)]
    unchanged = _is(row.stopped, job.stopped) & _is(row.ended, job.ended)
    ours = row.chain_until == now + lost_after  # the SDK repeats a write whose response was lost
    following = ResendStep(job.job_id, int(job.page), int(job.sent), dict(job.left))
    possible = (row.page == job.page) & (unchanged | ours)
    return following if change(job, [*again, *gone], possible) else None


def _listing(key: str, began: datetime) -> list[Any]:
    return [ResendJob.listed_under.set(_LISTED_UNDER), ResendJob.listed_at.set(attempts.moment(began, key))]


def _is(attribute: Any, value: float | None) -> Any:
    return attribute.does_not_exist() if value is None else attribute == value


def _note(step: ResendStep, actions: list[Any], *conditions: Any) -> bool:
    row = ResendJob
    possible = reduce(and_, conditions, row.page <= step.page)
    far = [row.page.set(step.page), row.sent.set(step.sent), row.left.set(dict(step.left))]
    return change(row(f"{_KEY}{step.job_id}"), [*far, *actions], possible)
