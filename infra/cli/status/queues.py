"""The queues of a stack: how deep they are, how old their oldest message is, and why dead letters are there."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.cli.dead_letters import content
from infra.cli.dead_letters.content import Content
from infra.cli.text import first_line

DEAD_LETTERS = "DeadLetters"  # ends the name of such a queue
NAMES = ("IssueEvents", "Deliveries", "Retries", "Transitions")
LOOKED_AT = 10  # dead letters of a queue whose reasons are read: as many as one call receives

_DEPTHS = {
    "ApproximateNumberOfMessages": "waiting",
    "ApproximateNumberOfMessagesNotVisible": "in_work",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nothing handles, and what it is."""

    body: str
    content: Content

    def document(self) -> dict[str, Any]:
        """As JSON, without what it carries."""
        return {"kind": self.content.kind, "reason": self.content.reason, **self.content.names}


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """A queue's messages: due and waiting, received and in work, not due yet. Numbers are SQS's approximations.

    `oldest_seconds` is None where CloudWatch has no age. `dead_letters`: some of them, with their reasons.
    """

    name: str
    waiting: int
    in_work: int
    delayed: int
    oldest_seconds: float | None = None
    dead_letters: tuple[DeadLetter, ...] = ()

    @property
    def total(self) -> int:
        """All its messages."""
        return self.waiting + self.in_work + self.delayed

    @property
    def is_dead(self) -> bool:
        """Whether it is a queue of dead letters."""
        return self.name.endswith(DEAD_LETTERS)

    @property
    def reasons(self) -> Mapping[str, int]:
        """The reasons of the dead letters that were looked at, the most frequent first."""
        return dict(Counter(first_line(letter.content.reason) for letter in self.dead_letters).most_common())

    def document(self) -> dict[str, Any]:
        """As JSON."""
        numbers = {name: getattr(self, name) for name in ("waiting", "in_work", "delayed", "oldest_seconds")}
        letters = [each.document() for each in self.dead_letters]
        return {"queue": self.name} | numbers | ({"looked_at": letters} if self.is_dead else {})


def read(sqs: Any, urls: Mapping[str, str], ages: Mapping[str, float]) -> list[QueueDepth]:
    """The queues by their logical names and URLs. `ages`: seconds by the last part of a queue's URL."""

    def depth(name: str) -> QueueDepth:
        url = urls[name]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_DEPTHS))["Attributes"]
        numbers = {_DEPTHS[key]: int(value) for key, value in found.items() if key in _DEPTHS}
        letters = tuple(peek(sqs, name, url)) if name.endswith(DEAD_LETTERS) and numbers["waiting"] else ()
        return QueueDepth(name, **numbers, oldest_seconds=ages.get(physical_name(url)), dead_letters=letters)

    with ThreadPoolExecutor(len(urls) or 1) as pool:
        return list(pool.map(depth, sorted(urls, key=_place)))


def peek(sqs: Any, name: str, url: str) -> list[DeadLetter]:
    """Up to `LOOKED_AT` messages of a queue of dead letters, which stay there, and visible."""
    found = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=LOOKED_AT,
        VisibilityTimeout=0,
        WaitTimeSeconds=0,
        MessageAttributeNames=["All"],
    )
    origin = name.removesuffix(DEAD_LETTERS)
    return [
        DeadLetter(each["Body"], content.describe(origin, each["Body"], content.attributes(each)))
        for each in found.get("Messages", [])
    ]


def age_queries(urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """What to ask CloudWatch for the ages: a query for each queue, whose label is the queue's name."""
    return [
        {
            "Id": f"age{number}",
            "Label": physical_name(url),
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateAgeOfOldestMessage",
                    "Dimensions": [{"Name": "QueueName", "Value": physical_name(url)}],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
        }
        for number, url in enumerate(urls.values())
    ]


def physical_name(url: str) -> str:
    """A queue's own name, by its URL."""
    return url.rpartition("/")[2]


def _place(name: str) -> tuple[bool, int, str]:
    return name.endswith(DEAD_LETTERS), NAMES.index(name) if name in NAMES else len(NAMES), name
