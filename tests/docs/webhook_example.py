"""The webhook of docs/app-authors.md and README.md, as the code makes it of the event of docs/publishers.md.

After a change of the webhook: `.venv/bin/python -m tests.docs.webhook_example` writes it into both pages.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from bellhop import events
from bellhop.deliveries import Delivery
from bellhop.registry import App, Installation
from deliver.attempt import signing
from deliver.attempt.signing import Keys
from notify import fanout
from notify.payload import Payload
from tests.docs.pages import DOCS, ROOT, blocks

PUBLISHERS, APP_AUTHORS, README = DOCS / "publishers.md", DOCS / "app-authors.md", ROOT / "README.md"
SECRET = "0123456789abcdef" * 4
STANDARD_SECRET = "whsec_" + base64.b64encode(SECRET.encode()).decode()
KEYS = Keys(SECRET)
REQUEST_ID = "9f86d081884c4d659a2feaa0c55ad015"
TIMESTAMP = 1_795_435_202  # two seconds after the event


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it goes over the wire."""

    headers: dict[str, str]
    body: bytes

    def header_text(self) -> str:
        """The headers as the page shows them."""
        return "".join(f"{name}: {value}\n" for name, value in self.headers.items())


def webhook(
    timestamp: int = TIMESTAMP, request_id: str = REQUEST_ID, page: Path = PUBLISHERS, keys: Keys = KEYS
) -> Webhook:
    """The webhook that the first event on the page becomes for one installation."""
    event = events.parse(next(block.text for block in blocks(page) if block.language == "json"))
    app = App("deploy-bot", events=["issue.resolved"])
    installation = Installation(
        "acme", "5d2c6e0a-9f57-4c57-8f19-0c2f6f0b7f11", app_id="deploy-bot", events=["issue.resolved"]
    )
    delivery = fanout.decide(event, Payload(event, TIMESTAMP), installation, app).outcome
    assert isinstance(delivery, Delivery)
    headers = signing.headers(delivery, keys, request_id, timestamp)
    return Webhook(headers | {"Content-Length": str(len(delivery.body))}, delivery.body)


def write() -> None:
    """Write the webhook into the pages."""
    for page in (APP_AUTHORS, README):
        page.write_text(_with_webhook(page.read_text(), webhook()))


def _with_webhook(page: str, made: Webhook) -> str:
    for label, text in (("webhook-headers", made.header_text()), ("webhook-body", made.body.decode() + "\n")):
        pattern = re.compile(rf"(<!-- example: {label} -->\n```\w+\n).*?(```\n)", re.DOTALL)
        page = pattern.sub(lambda block, text=text: block[1] + text + block[2], page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    write()
