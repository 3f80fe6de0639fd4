import boto3
import pytest

from bellhop import circuits
from bellhop.queues import Queue
from bellhop.replays import Releases, Replay
from health import messages

NOW = 1_800_000_000.0


@pytest.mark.parametrize(("stopped", "started"), [(None, NOW), (NOW - 1, NOW), (NOW + 240, NOW + 240.001)])
def test_a_release_begins_after_every_stop_also_one_by_a_clock_that_is_ahead(
    queue: str, stopped: float | None, started: float
) -> None:
    sqs = boto3.client("sqs")
    if stopped:
        circuits.stop_replays("pager", stopped)
    Releases(Queue(sqs, queue), 10.0, 90.0, lambda: NOW).start("pager", 1)
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    replay = messages.decode(message["Body"])
    assert isinstance(replay, Replay)
    assert (replay.started, replay.began, replay.settles_at) == (started, NOW, NOW + 90)
    assert replay.started > circuits.replays_stopped(circuits.load("pager"))
