"""bellhop delivery: one delivery with every attempt, its request and response, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from bellhop.attempts import KEPT
from bellhop.registry import App, find
from bellhop.secrets import HMAC, SigningSecret, headers_of, signature_of
from bellhop.text import printable
from infra.cli import delivered, log_lines, stack, story, terminal
from infra.cli.attempt_text import not_posted_text
from infra.cli.condition import Condition, read_conditions
from infra.cli.errors import CommandError, denied_action
from infra.cli.log_lines import Log
from infra.cli.registry.secret_values import MASK
from infra.cli.stack import Stack
from infra.cli.story import Story
from infra.cli.terminal import labelled, line, state
from infra.cli.text import stored_time
from infra.cli.views import token_url_of

DELIVERED = "delivered"  # deliver's line that names what succeeded
AROUND = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery, its app and how that stands.

    `own` are the headers that the app has now, `classic` whether it has a secret for the classic signature,
    `token_url` is where its access tokens are from, if it has any.
    """

    story: Story
    app: App | None
    condition: Condition | None
    own: Mapping[str, str] | None
    classic: bool
    token_url: str | None
    now: datetime

    def not_posted(self, row: Mapping[str, Any]) -> str:
        """Why an attempt posted nothing; empty where it did, or tried to."""
        return not_posted_text(str(row["result"]), self.token_url)

    def request_headers(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Those of an attempt's request, what is secret in them masked; none where nothing was posted."""
        if self.not_posted(row):
            return {}
        return story.request_headers(self.story, row, self.own, classic=self.classic)


def run(stack_name: str, delivery_id: str, *, app_id: str | None, since: str, as_json: bool) -> None:
    """Read the delivery, print it."""
    found = stack.find(stack_name)
    stack.bind(found)
    now = datetime.now(UTC)
    view = read(found, delivery_id, app_id, terminal.read_moment("--since", since, now, KEPT), now)
    if as_json:
        terminal.print_json(document(view))
    else:
        _print(view, found, terminal.console())


def read(found: Stack, delivery_id: str, app_id: str | None, since: datetime, now: datetime) -> DeliveryView:
    """The delivery: by its record, or else in the log of what succeeded at once since that time.

    Raises:
        CommandError: neither has it.
    """
    told = story.read([delivery_id], since).get(delivery_id) or _delivered(found, delivery_id, app_id, since, now)
    apps, standing = read_conditions([told.app_id], now)
    app = apps.get(told.app_id)
    row = find(SigningSecret, app.app_id) if app else None
    secrets = [row.secret, row.live_previous(now.timestamp())] if row else []
    classic = not row or any(secret and signature_of(secret) == HMAC for secret in secrets)
    own = dict(headers_of(app, row) or {}) if app else {}
    if row and row.oauth2:
        own["Authorization"] = MASK
    return DeliveryView(told, app, standing.get(told.app_id), own, classic, token_url_of(row), now)


def document(view: DeliveryView) -> dict[str, Any]:
    """The delivery as JSON; each attempt with the headers of its request."""
    told = view.story.document(view.app, view.condition, view.now)
    attempts = [
        row | {"request_headers": view.request_headers(row), "not_posted": view.not_posted(row) or None}
        for row in told["attempts"]
    ]
    return told | {"attempts": attempts, "url": view.app.url if view.app else None}


def _delivered(found: Stack, delivery_id: str, app_id: str | None, since: datetime, now: datetime) -> Story:
    if app_id is None:
        app_id, at = _logged(found, delivery_id, since, now)
        since, now = at - AROUND, at + AROUND
    rows = delivered.find({delivery_id: app_id}, since, now).rows
    if delivery_id in rows:
        return story.of_success(rows[delivery_id])
    raise CommandError(
        f"no delivery {delivery_id} to {app_id} since {since:%Y-%m-%d %H:%M} UTC: it has no record, so it did not "
        f"fail in the last {KEPT.days} days; look further back with --since 7d, up to {KEPT.days}d",
        "what is older, or was never sent, is not known any more",
    )


def _logged(found: Stack, delivery_id: str, since: datetime, now: datetime) -> tuple[str, datetime]:
    """The app that deliver's log names, and when."""
    hint = (
        f"no record of {delivery_id}: it was delivered at once, was never sent, or expired after {KEPT.days} days",
        f"to look for it in the delivery log, name its app: `bellhop delivery {delivery_id} --app APP --since 7d`",
    )
    try:
        log = Log(stack.client("logs"), found.outputs)
        lines = log.read(["deliver"], since, now, log_lines.quoted(delivery_id))
    except ClientError as error:
        if denied_action(error):
            raise CommandError(*hint) from None
        raise
    for each in lines:
        for row in each.fields.get("deliveries", []) if each.message == DELIVERED else []:
            if delivery_id in row:
                return str(row[0]), each.at
    raise CommandError(*hint)


def _print(view: DeliveryView, found: Stack, console: Console) -> None:
    told = view.story
    line(console, f"{told.delivery_id} to {told.app_id}", "bold")
    labelled(console, "state", state(told.state))
    labelled(console, "event", f"{told.event}, {told.event_id}")
    if told.installation_id:
        labelled(console, "hook", f"{told.installation_id} of {told.organization_id}")
    labelled(console, "began", stored_time(told.began.isoformat()))
    text = story.next_text(told, view.app, view.condition, view.now)
    if text:
        labelled(console, "next", found.naming(text))
    if story.kept_text(told):
        labelled(console, "record", story.kept_text(told))
    if told.lacks_success:
        line(console, story.NOT_FOUND, "yellow")
    for row in told.attempts:
        _print_attempt(view, row, console)
    if any(not view.not_posted(row) for row in told.attempts):
        line(console, "The headers are composed anew; the URL and the app's own headers are those of now.", "dim")
    elif not told.attempts:
        line(console, "No attempt was made yet.")
    published = told.organization_id and not told.is_ping
    event = [f"event {told.organization_id} {told.event_id}"] if published else []
    line(console, found.next(*event, f"explain {told.app_id}"))


def _print_attempt(view: DeliveryView, row: Mapping[str, Any], console: Console) -> None:
    failed = not str(row["result"]).startswith("http_2")
    line(console, story.attempt_text({**row, "response": ""}), "red" if failed else "green")
    if view.not_posted(row):
        line(console, f"    not posted: {view.not_posted(row)}")
    elif view.app:
        line(console, f"    POST {view.app.url}")
    for name, value in view.request_headers(row).items():
        line(console, f"    {name}: {value}", "dim", indent=8)
    for name, value in dict(row.get("headers") or {}).items():
        line(console, f"    < {name}: {value}", indent=8)
    response = str(row.get("response", ""))
    if row.get("status"):
        line(console, f"    response {int(row['status'])}{':' if response else ', whose body is not kept'}")
    for text in response.splitlines():
        line(console, f"        {printable(text)}", indent=8)
    if row.get("cut"):
        line(console, f"        (cut: the first {len(response.encode()):,} bytes are kept)", "dim", indent=8)
