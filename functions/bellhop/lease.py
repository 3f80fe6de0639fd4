"""A lease: the time one worker has an item for itself. A worker that dies leaves it behind, and it expires."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Lease:
    """The attributes of a model that hold its lease: `until` in Unix seconds, and `holder`, where that matters."""

    until: Any  # typed as attributes, they would be read as what they hold
    holder: Any = None

    def free(self, now: float, holder: str | None = None) -> Any:
        """The condition that nobody has the lease at `now`, or that `holder` has it already."""
        free = self.until.does_not_exist() | (self.until < now)
        return free if self.holder is None or holder is None else free | (self.holder == holder)

    def take(self, until: float, holder: str | None = None) -> list[Any]:
        """The update that takes the lease."""
        taken = [self.until.set(until)]
        return taken if self.holder is None else [self.holder.set(holder), *taken]

    def release(self) -> list[Any]:
        """The update that gives the lease back."""
        return [attribute.remove() for attribute in (self.holder, self.until) if attribute is not None]
