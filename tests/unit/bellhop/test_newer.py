"""What this version does not know waits, as a new message, until a newer version is deployed again."""

from collections.abc import Sequence
from typing import Any

import pytest

from bellhop.newer import WAIT_SECONDS, Unknown, UnknownKindError, check_version, wait
from bellhop.queues import MAX_DELAY, OutgoingMessage
from tests.support.fakes import Recorder, queue_message


def unknown(message_id: str, body: str = "{}", **received: Any) -> Unknown:
    return queue_message(body, message_id, receive_count=9) | received, UnknownKindError(f"kind of {message_id}")


def none_refused(messages: Sequence[OutgoingMessage]) -> set[int]:
    return set()


def test_what_waits_is_sent_as_it_was_received_with_its_group_and_its_attributes() -> None:
    sent: list[OutgoingMessage] = []

    def send_all(messages: Sequence[OutgoingMessage]) -> set[int]:
        sent.extend(messages)
        return set()

    received = {
        "attributes": {"ApproximateReceiveCount": "9", "MessageGroupId": "pager"},
        "messageAttributes": {
            "cursor": {"stringValue": "x", "dataType": "String"},
            "blob": {"binaryValue": "eA==", "dataType": "Binary"},
        },
    }
    assert wait([unknown("m1", "body", **received)], send_all, Recorder()) == []
    assert sent == [OutgoingMessage("body", "pager", WAIT_SECONDS, {"cursor": "x"})]
    assert WAIT_SECONDS <= MAX_DELAY


def test_one_log_line_and_one_count_tell_of_all_that_wait() -> None:
    telemetry = Recorder()
    assert wait([unknown("m1"), unknown("m2")], none_refused, telemetry) == []
    [(level, _, fields)] = telemetry.lines
    assert (level, fields) == ("warning", {"messages": {"m1": "kind of m1", "m2": "kind of m2"}})
    assert telemetry.counts == {"NewerVersionWaits": 2}


def test_nothing_is_sent_or_said_where_everything_is_known() -> None:
    telemetry = Recorder()

    def send_all(messages: Sequence[OutgoingMessage]) -> set[int]:
        raise AssertionError("a call for nothing")

    assert wait([], send_all, telemetry) == []
    assert telemetry.lines == []


def test_what_the_queue_does_not_take_comes_back_by_itself() -> None:
    telemetry = Recorder()
    assert wait([unknown("m1"), unknown("m2")], lambda messages: {1}, telemetry) == ["m2"]
    assert telemetry.counts == {"NewerVersionWaits": 1}


def test_where_sqs_does_not_respond_everything_comes_back_by_itself() -> None:
    telemetry = Recorder()

    def down(messages: Sequence[OutgoingMessage]) -> set[int]:
        raise ConnectionError("no response")

    assert wait([unknown("m1"), unknown("m2")], down, telemetry) == ["m1", "m2"]
    assert [level for level, _, _ in telemetry.lines] == ["error"]
    assert telemetry.counts == {}


def test_only_a_higher_number_is_a_newer_version() -> None:
    check_version("message", 3, 3)
    with pytest.raises(UnknownKindError, match="message of the format 4"):
        check_version("message", 4, 3)
    for never in (2, "4", None, True, 4.0):
        with pytest.raises(ValueError, match="there never was"):
            check_version("message", never, 3)
