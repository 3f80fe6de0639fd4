import io
import re

import pytest
from rich.console import Console

from infra.local.progress import Steps


def on_a_terminal(error: BaseException | None) -> list[str]:
    """What is said of a step, and of another at which that is raised."""
    written = io.StringIO()

    def work() -> None:
        with Steps(Console(file=written, force_terminal=True, width=80, color_system=None)) as steps:
            steps.begin("building the functions")
            steps.begin("deploying template.yaml")
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            work()
    else:
        work()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    return re.findall(r"^ +\d+\.\d s  (.+)$", plain.replace("\r", "\n"), re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "why"), [(None, ""), (KeyboardInterrupt(), ": interrupted"), (ValueError(), ": failed")]
)
def test_a_step_that_was_interrupted_was_told_as_done(error: BaseException | None, why: str) -> None:
    assert on_a_terminal(error) == ["building the functions", f"deploying template.yaml{why}"]
