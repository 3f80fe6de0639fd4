"""Which worker of pytest-xdist runs which file: the tests of a deployed stack beside those that compute.

A test of a stack waits most of the time. If such files came last, as the small files that they are, the processor
would be idle for minutes at the end. So every other worker takes them first, and the others take everything else.
"""

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

OF_A_STACK = ("tests/e2e/", "tests/integration/")
# Few tests, much time: xdist begins with the files that have the most tests, so these would be alone at the end.
LONG = ("tests/e2e/test_deployment.py", "tests/e2e/test_doctor.py", "tests/simulation/test_accounting.py")
LESS = 5  # how much nicer workers are that compute: a stack that gets no processor misses its deadlines


class StacksBesideTheRest(LoadFileScheduling):  # type: ignore[misc]
    """Each file is run by one worker, as by `--dist loadfile`; some begin with the files that need a stack."""

    def _assign_work_unit(self, node: "WorkerController") -> None:
        stack_first = begins_with_stacks(node.gateway.id)
        preferred = [f for f in self.workqueue if f.startswith(OF_A_STACK) == stack_first]
        if preferred:
            chosen = next((f for f in preferred if f in LONG), preferred[0])
            self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def begins_with_stacks(worker: str) -> bool:
    """Whether a worker, such as `gw2`, takes the files of a stack before all others."""
    return int(worker.removeprefix("gw")) % 2 == 0
