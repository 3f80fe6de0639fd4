"""The story of one delivery: its attempts, how it stands, what comes next; from its record or the delivery log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bellhop import long_responses, pings
from bellhop.attempts import (
    DELIVERED,
    EXHAUSTED,
    PARKED,
    RETRYING,
    STOPPED,
    WITHDRAWN,
    DeliveryRecord,
)
from bellhop.deliveries import Delivery
from bellhop.registry import DISABLED, App
from bellhop.successes import Row
from deliver.attempt import signing
from deliver.attempt.signing import Keys
from deliver.http.response import TOKEN_ERROR
from infra.cli import delivered
from infra.cli.attempt_text import PUBLISHED_AGAIN, number_text, result_text, with_repeats
from infra.cli.condition import Condition
from infra.cli.registry.secret_values import MASK
from infra.cli.text import duration, first_line, iso_time, stored_time, unix_time
from infra.cli.views import read_records

NOT_FOUND = "It had succeeded before it was resent, earlier than was looked: further back with --since 7d."
CLASSIC = "Sentry-Hook-Signature"
SIGNATURES = (CLASSIC, "webhook-signature")


@dataclass(frozen=True, slots=True)
class Story:
    """A delivery as far as it is known. `began`: when its record was written, or its one attempt was made.

    `attempts` are rows as the log keeps them, the oldest first; `attempts_made` also counts what is not known.
    `at_once`: it was delivered by its first attempt, and the log has that alone. `next_attempt_at` and
    `expires_at` are Unix seconds, 0 where there is none.
    """

    delivery_id: str
    app_id: str
    organization_id: str
    installation_id: str
    event: str
    event_id: str
    state: str
    began: datetime
    attempts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    attempts_made: int = 0
    next_attempt_at: float = 0.0
    expires_at: float = 0.0
    at_once: bool = False

    @property
    def is_ping(self) -> bool:
        """Whether it tested the endpoint: nobody published an event for it, and it is made once."""
        return self.event == pings.EVENT

    @property
    def lacks_success(self) -> bool:
        """Whether it succeeded at once and was resent: the record that it has since then lacks that success."""
        first = int(self.attempts[0]["n"]) if self.attempts else 1
        return self.attempts_made > len(self.attempts) or first > 1

    def with_success(self, row: Row) -> "Story":
        """The story with the success before the resend, which the log has."""
        began = datetime.fromisoformat(row["at"])
        return replace(self, began=began, attempts=[_attempt_of(row), *self.attempts])

    def document(self, app: App | None, condition: Condition | None, now: datetime) -> dict[str, Any]:
        """As JSON."""
        names = ("delivery_id", "app_id", "organization_id", "installation_id", "event", "event_id", "state")
        due = self.next_attempt_at if self.state == RETRYING else None
        return {
            **{name: getattr(self, name) for name in names},
            "began": self.began.isoformat(timespec="milliseconds"),
            "at_once": self.at_once,
            "next_attempt_at": iso_time(due),
            "next": next_text(self, app, condition, now),
            "attempts": [dict(row) for row in self.attempts],
        }


def read(delivery_ids: Iterable[str], since: datetime) -> dict[str, Story]:
    """What the records say, of those deliveries that have one; each with the success before its resend.

    A success that was before `since` is not looked for.
    """
    stories = {record.delivery_id: of_record(record) for record in read_records(delivery_ids)}
    lacking = {key: each for key, each in stories.items() if each.lacks_success}
    if lacking:
        until = max(each.began for each in lacking.values())
        found = delivered.find({key: each.app_id for key, each in lacking.items()}, since, until).rows
        stories |= {key: lacking[key].with_success(row) for key, row in found.items()}
    return stories


def of_record(record: DeliveryRecord) -> Story:
    """The story that a record tells."""
    names = ("delivery_id", "app_id", "organization_id", "installation_id", "event", "event_id", "state")
    return Story(
        **{name: getattr(record, name) for name in names},
        began=record.created,
        attempts=with_repeats(sorted(long_responses.rows(record), key=lambda row: str(row["at"]))),
        attempts_made=int(record.attempts_made),
        next_attempt_at=float(record.next_attempt_at),
        expires_at=float(record.expires_at),
    )


def of_success(row: Row, organization_id: str = "", installation_id: str = "") -> Story:
    """The story of what succeeded at once; the log does not name its organisation and installation."""
    return Story(
        delivery_id=row["delivery_id"],
        app_id=row["app"],
        organization_id=organization_id,
        installation_id=installation_id,
        event=row["event"],
        event_id=row["event_id"],
        state=DELIVERED,
        began=datetime.fromisoformat(row["at"]),
        attempts=[_attempt_of(row)],
        attempts_made=1,
        at_once=True,
    )


def _attempt_of(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"app", "delivery_id", "event", "event_id"}}


def next_text(story: Story, app: App | None, condition: Condition | None, now: datetime) -> str:
    """What comes next, and why it waits; empty where nothing does."""
    if story.state == RETRYING:
        wait = story.next_attempt_at - now.timestamp()
        number = story.attempts_made + 1
        return (
            f"attempt {number} in {duration(wait)}"
            if wait > 0
            else f"attempt {number} is due: {_why_late(app, condition)}"
        )
    if story.state == PARKED:
        return _why_parked(story, app, condition)
    texts = {
        EXHAUSTED: f"nothing by itself; its retries are used up: `bellhop resend {story.delivery_id}`",
        STOPPED: f"nothing: {_why_stopped(story, app)}",
        WITHDRAWN: "nothing: its installation is gone, or its hook does not want the event any more",
    }
    return texts.get(story.state, "")


def attempt_text(row: Mapping[str, Any]) -> str:
    """An attempt on a line."""
    response = first_line(str(row.get("response", "")))
    again = bool(row.get(PUBLISHED_AGAIN))
    number = number_text(int(row["n"]), resent=bool(row.get("resent")), published_again=again)
    result = result_text(row["result"], int(row.get("status") or 0))
    return f"attempt {number}  {stored_time(row['at'])}  {result}  {int(row['ms'])} ms" + (
        f"  {response}" if response else ""
    )


def request_headers(
    story: Story, row: Mapping[str, Any], own: Mapping[str, str] | None, *, classic: bool = True
) -> dict[str, str]:
    """The headers of an attempt's request, composed as deliver composes them; what is secret in them is masked.

    `own` are the headers that the app has now, and `classic` is whether it has a secret for the classic signature:
    the log does not keep them.
    """
    delivery = Delivery(
        story.delivery_id,
        story.event_id,
        story.event,
        story.app_id,
        story.organization_id,
        story.installation_id,
        b"",
    )
    at = int(datetime.fromisoformat(row["at"]).timestamp())
    headers = signing.headers(delivery, Keys(MASK, headers=own), row["request_id"], at)
    hidden = {*SIGNATURES, *(own or {})}
    left_out = set() if classic else {CLASSIC}
    return {name: MASK if name in hidden else value for name, value in headers.items() if name not in left_out}


def kept_text(story: Story) -> str:
    """Until when it is known; empty where that is not known."""
    return f"kept until {unix_time(story.expires_at)}" if story.expires_at else ""


def _why_stopped(story: Story, app: App | None) -> str:
    if story.is_ping:
        return "a ping is not retried"
    if app is None:
        return "its app was deleted"
    last = str(story.attempts[-1]["result"]) if story.attempts else ""
    if last == TOKEN_ERROR:
        return "the address of its token endpoint is not allowed"
    # A response that stops a delivery is named by its status, or by what it asks for.
    if last.startswith("http_") or last.endswith("_requested"):
        return "the endpoint asked for no more"
    return "its address, URL or header cannot be used"


def _why_late(app: App | None, condition: Condition | None) -> str:
    if app is None:
        return "its app is not registered any more"
    if app.state == DISABLED:
        return f"{app.app_id} is off, so it will be parked"
    if condition is not None and condition.paused_since is not None:
        return f"{app.app_id} is {condition.text()}"
    return "it is on its way, or waits for its app's rate"


def _why_parked(story: Story, app: App | None, condition: Condition | None) -> str:
    if app is None:
        return "parked: its app is not registered any more"
    if app.state == DISABLED:
        return f"parked until {app.app_id} is switched on: `bellhop explain {app.app_id}`"
    if condition is not None and condition.paused_since is not None:
        return f"parked while {app.app_id} is {condition.text()}"
    return f"parked, and {app.app_id} is on: it is being released, or waits for `bellhop replay {story.app_id}`"
