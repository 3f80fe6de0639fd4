"""The response to a batch: which messages come back, and that they are counted."""

from bellhop import partial_batch
from tests.support.fakes import Recorder


def test_what_comes_back_is_named_and_counted() -> None:
    telemetry = Recorder()
    response = partial_batch.response(["m1", "m2"], telemetry)
    assert response == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}
    assert telemetry.counts == {"MessageReturned": 2}


def test_a_batch_that_is_done_counts_nothing() -> None:
    telemetry = Recorder()
    assert partial_batch.response([], telemetry) == {"batchItemFailures": []}
    assert telemetry.counts == {}
