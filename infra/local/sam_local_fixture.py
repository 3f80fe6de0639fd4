"""The scene that the events of tests/events play in, and what each of them must have brought about."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bellhop.registry import App, Installation
from infra.local.build import ROOT
from infra.local.paused_triggers import FUNCTIONS, waiting
from infra.local.receiver import Receiver, gone, ok, receiver
from infra.local.registering import Hook, register
from infra.local.stack import Stack

EVENTS = ROOT / "tests" / "events"
OWNER = "ada@acme.example"
SECRETS = {"pager": "ab" * 32, "retired": "cd" * 32}


@dataclass(frozen=True)
class Scene:
    """A healthy app and one that is gone, both installed in an organisation with one owner."""

    stack: Stack
    pager: Receiver
    retired: Receiver

    def enqueued(self) -> int:
        """How many deliveries wait."""
        return sum(message["MessageGroupId"] in SECRETS for message in waiting(self.stack, "Deliveries"))

    def dead_lettered(self) -> int:
        """How many events were malformed."""
        return sum("samlocal-" in message["Body"] for message in waiting(self.stack, "IssueEventsDeadLetters"))

    def announced(self) -> int:
        """How many transitions health has to follow up."""
        return sum('"retired"' in message["Body"] for message in waiting(self.stack, "Transitions"))

    def mailed(self) -> int:
        """How many mails the owner got."""
        return sum(OWNER in mail["To"] for mail in self.stack.mails())


@dataclass(frozen=True)
class Check:
    """An event of tests/events/<function>, what it brings about after those before it, how that is seen."""

    event: str
    effect: str
    holds: Callable[[Scene], bool]

    @property
    def function(self) -> str:
        """The function it is for, by its logical id."""
        return FUNCTIONS[self.event.partition("/")[0]]

    @property
    def path(self) -> Path:
        """Where the event is."""
        return EVENTS / f"{self.event}.json"


CHECKS = [  # in the order of a webhook's way
    Check("notify/issue-created", "one delivery enqueued", lambda s: s.enqueued() == 1),
    Check("notify/resolved-and-assigned", "two more enqueued", lambda s: s.enqueued() == 1 + 2),
    Check(
        "notify/malformed-beside-a-good-one",
        "one enqueued, one dead-lettered",
        lambda s: (s.enqueued(), s.dead_lettered()) == (1 + 2 + 1, 1),
    ),
    Check(
        "deliver/first-attempt",
        "a webhook received and verified",
        lambda s: [r.verified for r in s.pager.received] == [True],
    ),
    Check(
        "deliver/gone-beside-a-healthy-one",
        "one received, one answered 410",
        lambda s: (len(s.pager.received), len(s.retired.received)) == (2, 1),
    ),
    Check(
        "health/outcomes-stream",
        "the app disabled, its transition announced",
        lambda s: App.get("retired").state == "disabled" and s.announced() == 1,
    ),
    Check("health/transition", "the owner mailed", lambda s: s.mailed() == 1),
]


@contextmanager
def set_scene(stack: Stack, host: str = "127.0.0.1", called: str = "127.0.0.1") -> Iterator[Scene]:
    """Set the scene in a stack that is reached; the endpoints are at `host`, which the functions call `called`."""
    with (
        receiver(ok, SECRETS["pager"], host) as pager,
        receiver(gone, SECRETS["retired"], host) as retired,
    ):
        urls = {"pager": pager.url, "retired": retired.url}
        hooks = [Hook(app, url.replace("127.0.0.1", called), SECRETS[app]) for app, url in urls.items()]
        register("acme", [OWNER], hooks)
        _only("pager")
        yield Scene(stack, pager, retired)


def _only(app_id: str) -> None:
    # notify's events are broadcasts: without this they would concern the retired app as well.
    for installation in Installation.query("acme"):
        if installation.app_id != app_id:
            installation.update(actions=[Installation.status.set("uninstalled")])
