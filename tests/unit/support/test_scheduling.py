from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.build import ROOT
from tests.support.scheduling import LONG, StacksBesideTheRest, begins_with_stacks

FILES = ["tests/unit/test_a.py", "tests/e2e/test_b.py", "tests/unit/test_c.py", "tests/integration/test_d.py"]


class Worker:
    """What the scheduling knows of a worker."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)

    def send_runtest_some(self, indices: list[int]) -> None:
        """Have it run these tests."""


@pytest.fixture
def scheduling() -> Any:
    made = StacksBesideTheRest.__new__(StacksBesideTheRest)
    made.workqueue = OrderedDict((file, {f"{file}::test_it": False}) for file in FILES)
    made.assigned_work = {}
    made.registered_collections = {}
    return made


def taken(scheduling: Any, worker: str, number: int) -> list[str]:
    made = Worker(worker)
    scheduling.registered_collections[made] = [f"{file}::test_it" for file in FILES]
    for _ in range(number):
        scheduling._assign_work_unit(made)
    return [*scheduling.assigned_work[made]]


def test_every_other_worker_takes_the_files_of_a_stack_first_and_then_the_others(scheduling: Any) -> None:
    assert taken(scheduling, "gw0", 3) == [FILES[1], FILES[3], FILES[0]]


def test_the_other_workers_take_what_needs_no_stack_first(scheduling: Any) -> None:
    assert taken(scheduling, "gw1", 3) == [FILES[0], FILES[2], FILES[1]]


@pytest.mark.parametrize("long", LONG)
def test_a_long_file_is_begun_before_others_of_its_kind_that_have_more_tests(scheduling: Any, long: str) -> None:
    assert (ROOT / long).is_file()
    scheduling.workqueue[long] = {f"{FILES[0]}::test_it": False}
    assert [long in taken(scheduling, worker, 1) for worker in ("gw0", "gw1")].count(True) == 1
    assert taken(scheduling, "gw2" if "e2e" in long else "gw3", 1) != [long]


def test_workers_take_turns() -> None:
    assert [begins_with_stacks(f"gw{number}") for number in range(4)] == [True, False, True, False]
