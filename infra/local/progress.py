"""Says what is being done and for how long: on a terminal as it goes on, otherwise in a line for each step."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn


class Steps:
    """The steps of a program, one after the other. One at which it fails or is interrupted is not told as done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._shown: Progress | None = None
        self._step, self._began = "", self._started

    def begin(self, step: str) -> None:
        """The step before is done, and this one goes on."""
        self.end()
        self._step, self._began = step, time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("[dim]{task.elapsed:.0f} s"))
            self._shown = Progress(*columns, console=self._console, transient=True)
            self._shown.add_task(step)
            self._shown.start()
        else:
            self._console.print(f"{self._began - self._started:5.1f} s  {step}", markup=False)

    def end(self) -> None:
        """The last step is done."""
        self._stop("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
        else:
            self._stop(": interrupted" if issubclass(kind, KeyboardInterrupt) else ": failed")

    def _stop(self, why: str) -> None:
        if self._shown:
            self._shown.stop()
            self._shown = None
            took = time.monotonic() - self._began
            self._console.print(f"[dim]{took:5.1f} s[/]  {self._step}{why}")
