import random

import pytest

from bellhop import attempts
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord, NextState
from infra.cli import views
from infra.cli.views import Replayable, count_replayable, read_records
from tests.support.fakes import NOW, delivery
from tests.unit.cli.failing_app import add_replayable, register


def test_counting_stops_at_its_bound_and_says_so(aws: None) -> None:
    register()
    add_replayable(5)
    assert count_replayable("pager", 3) == Replayable({"parked": 3}, complete=False)
    assert count_replayable("pager", 3).text() == "at least 3 parked"
    assert count_replayable("pager", 6) == Replayable({"parked": 5}, complete=True)
    assert count_replayable("other") == Replayable({}, complete=True)
    assert count_replayable("other").text() == "none"


def test_counting_goes_on_over_its_pages(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.setattr(views, "_PAGE", 2)
    add_replayable(5)
    add_replayable(2, EXHAUSTED)
    assert count_replayable("pager").text() == "5 parked, 2 exhausted"


def test_what_stands_in_the_table_of_the_records_and_is_none_is_not_taken_for_one(aws: None) -> None:
    made = delivery(body=random.Random(1).randbytes(5000))
    attempts.open_record(made, NextState(PARKED), NOW, key="pager#7")
    keys = [row.delivery_id for row in DeliveryRecord.scan()]
    assert len(keys) == 3  # with its entry and its body
    assert [row.delivery_id for row in read_records(keys)] == [made.delivery_id]


def test_an_app_whose_name_is_its_slug_was_told_as_pager_pager() -> None:
    assert views.title("pager", "pager") == "pager"
    assert views.title("pager", "The old pager") == "pager: The old pager"
