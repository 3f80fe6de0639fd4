import pytest

from bellhop.attempts import EXHAUSTED
from infra.cli import views
from infra.cli.views import Replayable, count_replayable
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
