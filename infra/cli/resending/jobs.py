"""The jobs by which health resends many deliveries: beginning one, watching, stopping and going on with it."""

import math
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from bellhop import resend_jobs
from bellhop.queues import MAX_DELAY
from bellhop.resend_jobs import ResendJob, ResendStep
from bellhop.resends import Chosen
from health.dependencies import OVERDUE_SECONDS
from health.pages import PAGE, page_size
from infra.cli.errors import CommandError, UsageError
from infra.cli.identity import TransitionsQueue
from infra.cli.resending.selection import Candidate
from infra.cli.resending.sending import AT_ONCE, opened
from infra.cli.stack import Stack
from infra.cli.text import duration, iso_time, unix_time

WATCH_SECONDS = 2.0  # between two looks
SHOWN = 20  # jobs that are not over, at most
LOST_AFTER = MAX_DELAY + OVERDUE_SECONDS  # seconds; then health has said until when
_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: of `total` deliveries, so many were `sent` or, by reason, `left`. Times are Unix seconds.

    `reason`: why it ended before it had sent the rest. `lost`: no message of it was handled for hours.
    """

    job_id: str
    began: float
    per_second: float
    total: int
    sent: int
    left: Mapping[str, int]
    stopped: bool
    ended: float | None
    reason: str | None
    lost: bool

    @property
    def goes_on(self) -> bool:
        """Whether it sends more."""
        return self.ended is None and not self.lost

    @property
    def waiting(self) -> int:
        """How many it has not come to."""
        return self.total - self.sent - sum(self.left.values())

    @property
    def is_done(self) -> bool:
        """Whether all of it was sent."""
        return self.ended is not None and self.sent == self.total

    def text(self, found: Stack) -> str:
        """In a line."""
        sent = f"{self.sent:,} of {self.total:,} sent since {unix_time(self.began)}"
        if self.left:
            sent += f", {sum(self.left.values()):,} left"
        again = f"To go on: {found.command(f'resend --go-on {self.job_id}')}"
        if self.ended is not None and self.reason:
            return f"Resend {self.job_id} ended at {unix_time(self.ended)}, {self.reason}: {sent}. {again}"
        if self.ended is not None:
            return f"Resend {self.job_id} over at {unix_time(self.ended)}: {sent}."
        if self.lost:
            listed = found.command("dead-letters list")
            return f"Resend {self.job_id} is lost, see `{listed}`: {sent}. {again}"
        if self.stopped:
            return f"{sent}; it ends at its next page."
        left = duration(max(1.0, self.waiting / self.per_second))
        return f"{sent}, {self.per_second:g} a second: about {left}."

    def brief(self, found: Stack) -> str:
        """In few words, with what shows more."""
        lost = " (lost)" if self.lost else ""
        more = found.command(f"resend --watch {self.job_id}")
        return f"resend: {self.sent:,} of {self.total:,} sent{lost}: {more}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        times = {name: iso_time(getattr(self, name)) for name in ("began", "ended")}
        return asdict(self) | times | {"waiting": self.waiting, "goes_on": self.goes_on}


@dataclass
class Listing:
    """The list of a job that is about to begin, and sends `rate` a second.

    `listed` and, by reason, `left` are of what was taken so far.
    """

    job_id: str
    rate: float
    now: Callable[[], datetime]
    pages: int = 0
    listed: int = 0
    left: Counter[str] = field(default_factory=Counter)

    @property
    def taken(self) -> int:
        """How many deliveries it has come to."""
        return self.listed + self.left.total()

    def write(self, chosen: Iterable[Candidate]) -> Iterator[None]:
        """Open each delivery's record and write the list, page by page. An interruption changes nothing."""
        waiting, page, size = iter(chosen), list[Chosen](), page_size(self.rate)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while group := list(islice(waiting, PAGE)):
                found = list(pool.map(partial(opened, now=self.now()), group))
                kept = [each for each in found if isinstance(each, Chosen)]
                self.listed += len(kept)
                self.left.update(each for each in found if isinstance(each, str))
                page += kept
                while len(page) >= size:
                    self._write(page[:size])
                    page = page[size:]
                yield
        if page:
            self._write(page)

    def _write(self, page: list[Chosen]) -> None:
        resend_jobs.write_page(self.job_id, self.pages, page, self.now())
        self.pages += 1


def new_id() -> str:
    """An id that a person can type."""
    return secrets.token_hex(_ID_BYTES)


def begin(listing: Listing, queue: TransitionsQueue) -> None:
    """Have health resend what is listed, at the listing's rate."""
    first = ResendStep(listing.job_id, 0, 0, dict(listing.left))
    now = listing.now()
    resend_jobs.begin(first, listing.taken, listing.pages, listing.rate, now, lost_after=LOST_AFTER)
    queue.send(first)


def load(job_id: str) -> ResendJob:
    """The job of that id.

    Raises:
        CommandError: there is none, or it is not kept any more.
    """
    found = resend_jobs.load(job_id)
    if found is None:
        raise CommandError(f"no resend {job_id!r} is known: `bellhop status` shows those that go on")
    return found


def stop(job_id: str, now: float) -> bool:
    """Have a job end at its next page; False where it is over."""
    return resend_jobs.stop(load(job_id).job_id, now)


def go_on(job_id: str, rate: float | None, queue: TransitionsQueue, now: float) -> float:
    """Have a job go on that was stopped or is lost; how many a second it sends.

    Raises:
        CommandError: it has sent everything, is too large for that rate, or changed meanwhile.
    """
    job = load(job_id)
    if int(job.page) >= int(job.pages):
        raise CommandError(f"resend {job_id} is over: `bellhop resend --app APP --since TIME` begins another")
    pace = rate or float(job.rate)
    slowest = len(resend_jobs.read_page(job_id, int(job.page)) or ()) / MAX_DELAY
    if pace < slowest:  # its pages are as they were listed, for the rate at which it began
        least = math.ceil(100 * slowest) / 100
        raise UsageError(f"--rate {pace:g} is too slow to go on with resend {job_id}: {least:g} or more")
    following = resend_jobs.go_on(job, pace, now, lost_after=LOST_AFTER)
    if following is None:
        raise CommandError(f"resend {job_id} changed meanwhile: look at it, `bellhop resend --watch {job_id}`")
    queue.send(following)
    return pace


def progress(job: ResendJob, now: datetime) -> Progress:
    """How far a job is now."""
    ended = _time(job.ended)
    return Progress(
        job_id=job.job_id,
        began=float(job.began),
        per_second=float(job.rate),
        total=int(job.total),
        sent=int(job.sent),
        left={reason: int(number) for reason, number in job.left.items()},
        stopped=job.is_stopped,
        ended=ended,
        reason=job.end if ended else None,
        lost=ended is None and float(job.chain_until) < now.timestamp(),
    )


def not_over(now: datetime) -> list[Progress]:
    """The jobs that go on, or are lost and not stopped; the newest first."""
    found = (progress(job, now) for job in resend_jobs.not_over(SHOWN))
    return [each for each in found if each.goes_on or (each.lost and not each.stopped)]


def _time(stored: Any) -> float | None:
    return None if stored is None else float(stored)


def follow(job_id: str, now: Callable[[], datetime], sleep: Callable[[float], None]) -> Iterator[Progress]:
    """How far a job is, each time that it has changed; the last one is of the end."""
    shown = None
    while shown is None or shown.goes_on:
        if shown:
            sleep(WATCH_SECONDS)
        found = progress(load(job_id), now())
        if found != shown:
            yield found
        shown = found
