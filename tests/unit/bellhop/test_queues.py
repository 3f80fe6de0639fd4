from collections.abc import Sequence
from typing import Any, cast

import boto3
from hypothesis import given
from hypothesis import strategies as st

from bellhop.queues import MAX_BATCH_BYTES, SENDS, OutgoingMessage, Queue, batches


class Sqs:
    """Takes an entry unless its number is told to fail that many times more."""

    def __init__(self, failures: dict[str, int] | None = None) -> None:
        self.failures = failures or {}
        self.calls: list[list[str]] = []

    def send_message_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.calls.append([entry["Id"] for entry in Entries])
        taken = []
        for entry in Entries:
            if self.failures.get(entry["Id"], 0):
                self.failures[entry["Id"]] -= 1
            else:
                taken.append({"Id": entry["Id"]})
        return {"Successful": taken}


def send(sqs: Sqs, number: int) -> set[int]:
    return Queue(cast("Any", sqs), "url").send_all([OutgoingMessage("x", "g")] * number, lambda _: None)


@given(st.lists(st.integers(1, 2000), max_size=50), st.integers(2000, 10_000))
def test_batches_keep_order_and_both_limits_and_lose_nothing(sizes: list[int], limit: int) -> None:
    messages = [(n, OutgoingMessage("x" * size, "g")) for n, size in enumerate(sizes)]
    runs = list(batches(messages, limit))
    assert [item for run in runs for item in run] == messages
    assert all(1 <= len(run) <= 10 for run in runs)
    assert all(sum(len(m.body) for _, m in run) <= limit for run in runs)


def test_a_batch_counts_bytes_and_not_characters() -> None:
    half = "ä" * (MAX_BATCH_BYTES // 4)
    assert len(list(batches(enumerate([OutgoingMessage(half, "g")] * 3)))) == 2


def test_a_batch_counts_the_bytes_of_attributes_too() -> None:
    half = OutgoingMessage("x" * 1000, attributes={"cursor": "ä" * (MAX_BATCH_BYTES // 4)})
    assert half.size == 1000 + len("cursor") + len("String") + MAX_BATCH_BYTES // 4 * 2
    assert len(list(batches(enumerate([half] * 2)))) == 2


def test_rejected_entries_alone_are_sent_again() -> None:
    sqs = Sqs({"3": 1, "7": 2})
    assert send(sqs, 10) == set()
    assert sqs.calls == [[str(n) for n in range(10)], ["3", "7"], ["7"]]


def test_what_stays_rejected_is_returned() -> None:
    sqs = Sqs({"1": 99})
    assert send(sqs, 2) == {1}
    assert len(sqs.calls) == SENDS


def test_nothing_to_send_makes_no_call() -> None:
    sqs = Sqs()
    assert send(sqs, 0) == set()
    assert sqs.calls == []


def test_a_message_is_delayed_as_told() -> None:
    entries: list[dict[str, Any]] = []

    class Remembers(Sqs):
        def send_message_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            entries.extend(Entries)
            return super().send_message_batch(QueueUrl, Entries)

    messages = [OutgoingMessage("x", "g"), OutgoingMessage("y", "g", 900)]
    Queue(Remembers(), "url").send_all(messages, lambda _: None)  # type: ignore[arg-type]
    assert [entry["DelaySeconds"] for entry in entries] == [0, 900]


def test_what_is_delayed_or_in_flight_does_not_wait(queue: str) -> None:
    work = Queue(boto3.client("sqs"), queue)
    for delay in (0, 0, 0, 60):
        work.send(OutgoingMessage("x", delay=delay))
    work.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)
    assert work.waiting() == 2
