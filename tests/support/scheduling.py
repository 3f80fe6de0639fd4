"""Which worker of pytest-xdist runs which file: the tests of a deployed stack beside those that compute.

A test of a stack waits most of the time. If such files came last, as the small files that they are, the processor
would be idle for minutes at the end. So every other worker takes them first, and the others take everything else.
"""

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

OF_A_STACK = ("tests/e2e/", "tests/integration/")
LESS = 5  # how much nicer workers are that compute: a stack that gets no processor misses its deadlines


class StacksBesideTheRest(LoadFileScheduling):  # type: ignore[misc]
    """Each file is run by one worker, as by `--dist loadfile`; some begin with the files that need a stack."""

    def _assign_work_unit(self, node: "WorkerController") -> None:
        stack_first = begins_with_stacks(node.gateway.id)
        chosen = next((f for f in self.workqueue if f.startswith(OF_A_STACK) == stack_first), None)
        if chosen:
            self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)


def begins_with_stacks(worker: str) -> bool:
    """Whether a worker, such as `gw2`, takes the files of a stack before all others."""
    return int(worker.removeprefix("gw")) % 2 == 0
