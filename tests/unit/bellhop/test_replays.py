import boto3
import pytest

from bellhop import circuits
from bellhop.circuits import Circuit
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


def test_one_that_begins_after_a_stop_is_noted_so_that_the_sweep_misses_it_if_its_message_is_lost(
    queue: str,
) -> None:
    circuits.stop_replays("pager", NOW + 240)
    Releases(Queue(boto3.client("sqs"), queue), 10.0, 90.0, lambda: NOW).start("pager", 1)
    assert float(circuits.load("pager").replay_began or 0) > NOW + 240


def test_a_stop_never_goes_back_and_ends_what_a_clock_that_is_ahead_began() -> None:
    circuits.stop_replays("pager", NOW + 240)
    began = circuits.begin_after_stop(Circuit("pager", replay_stopped=NOW + 240), NOW)
    assert began
    row = Circuit("pager", replay_stopped=NOW + 240)  # read before the first step was noted
    assert began < circuits.stop_time(row, NOW) < NOW + 241
    assert circuits.stop_time(Circuit("pager", replay_began=NOW + 9), NOW) == NOW + 9
    assert circuits.stop_time(Circuit("pager"), NOW) == NOW
