"""The apps that the events in tests/events are about, and the effect that each event must have."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bellhop.registry import App, Installation
from infra.local.build import ROOT
from infra.local.paused_triggers import FUNCTIONS, messages_in
from infra.local.receiver import Receiver, gone, ok, receiver
from infra.local.registering import Hook, register
from infra.local.stack import Stack

EVENTS = ROOT / "tests" / "events"
OWNER = "ada@acme.example"
SECRETS = {"pager": "ab" * 32, "retired": "cd" * 32}


@dataclass(frozen=True)
class SamLocalFixture:
    """A healthy app and one that is gone, both installed in an organisation with one owner."""

    stack: Stack
    pager: Receiver
    retired: Receiver

    def enqueued_deliveries(self) -> int:
        """How many deliveries are on the Deliveries queue."""
        return sum(message["MessageGroupId"] in SECRETS for message in messages_in(self.stack, "Deliveries"))

    def dead_lettered_events(self) -> int:
        """How many events were dead-lettered as malformed."""
        messages = messages_in(self.stack, "IssueEventsDeadLetters")
        return sum("samlocal-" in message["Body"] for message in messages)

    def announced_transitions(self) -> int:
        """How many transitions health has to follow up."""
        return sum('"retired"' in message["Body"] for message in messages_in(self.stack, "Transitions"))

    def mails_to_owner(self) -> int:
        """How many mails SES accepted for the owner."""
        return sum(OWNER in mail["To"] for mail in self.stack.mails())


@dataclass(frozen=True)
class Check:
    """An event in tests/events/<function>, the effect it must have after those before it, and a test of that."""

    event: str
    effect: str
    passes: Callable[[SamLocalFixture], bool]

    @property
    def function(self) -> str:
        """The logical id of the function that the event is for."""
        return FUNCTIONS[self.event.partition("/")[0]]

    @property
    def path(self) -> Path:
        """The event's file."""
        return EVENTS / f"{self.event}.json"


CHECKS = [  # in the order in which a webhook passes the functions
    Check("notify/issue-created", "one delivery enqueued", lambda s: s.enqueued_deliveries() == 1),
    Check("notify/resolved-and-assigned", "two more enqueued", lambda s: s.enqueued_deliveries() == 1 + 2),
    Check(
        "notify/malformed-beside-a-good-one",
        "one enqueued, one dead-lettered",
        lambda s: (s.enqueued_deliveries(), s.dead_lettered_events()) == (1 + 2 + 1, 1),
    ),
    Check(
        "deliver/first-attempt",
        "a webhook received and verified",
        lambda s: [r.verified for r in s.pager.received] == [True],
    ),
    Check(
        "deliver/gone-beside-a-healthy-one",
        "one webhook received by each endpoint; one responded with 410",
        lambda s: (len(s.pager.received), len(s.retired.received)) == (2, 1),
    ),
    Check(
        "health/outcomes-stream",
        "the app disabled, its transition announced",
        lambda s: App.get("retired").state == "disabled" and s.announced_transitions() == 1,
    ),
    Check("health/transition", "the owner mailed", lambda s: s.mails_to_owner() == 1),
]


@contextmanager
def install_fixture(
    stack: Stack, bind_host: str = "127.0.0.1", url_host: str = "127.0.0.1"
) -> Iterator[SamLocalFixture]:
    """Register both apps in a stack that this process uses.

    The endpoints listen on `bind_host`; `url_host` is the functions' name for this machine.
    """
    with (
        receiver(ok, SECRETS["pager"], bind_host) as pager,
        receiver(gone, SECRETS["retired"], bind_host) as retired,
    ):
        urls = {"pager": pager.url, "retired": retired.url}
        hooks = [Hook(app, url.replace("127.0.0.1", url_host), SECRETS[app]) for app, url in urls.items()]
        register("acme", [OWNER], hooks)
        _uninstall_all_but("pager")
        yield SamLocalFixture(stack, pager, retired)


def _uninstall_all_but(app_id: str) -> None:
    # The events for notify name no installation: without this they would go to the retired app as well.
    for installation in Installation.query("acme"):
        if installation.app_id != app_id:
            installation.update(actions=[Installation.status.set("uninstalled")])
