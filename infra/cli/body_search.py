"""Searching the bodies of deliveries: of what was sent, and of the response as far as it is kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bellhop.deliveries import Delivery
from infra.cli import bodies
from infra.cli.entries import Entry
from infra.cli.errors import UsageError
from infra.cli.progress import ProgressLines
from infra.cli.text import utc

MOST = 10_000  # attempts that are looked into, of all apps together
AT_A_TIME = 100  # bodies that are read together


@dataclass
class Search:
    """A search for `text`, case as written, and as JSON escapes it: quotes and umlauts are found.

    Of what succeeded at once before `kept_since` no bodies are kept. `searched` and `not_kept` count attempts.
    """

    text: str
    kept_since: datetime
    progress: ProgressLines = field(default_factory=ProgressLines)
    searched: int = 0
    not_kept: int = 0

    @property
    def looked(self) -> int:
        """How many attempts were looked at, searched or not."""
        return self.searched + self.not_kept

    def matching(self, entries: Sequence[Entry], limit: int) -> list[Entry]:
        """Those that have the text in the body that was sent, or in the response: the first `limit`, or more."""
        found = list[Entry]()
        for start in range(0, len(entries), AT_A_TIME):
            if len(found) >= limit:
                break
            some = entries[start : start + AT_A_TIME]
            readable = [entry for entry in some if self.may_be_kept(entry)]
            read = dict(zip((entry.key for entry in readable), bodies.read(readable), strict=True))
            found += [entry for entry in some if self.holds(entry, read.get(entry.key))]
            self.progress.say(f"{self.counts()}; back to {utc(some[-1].at)} UTC")
        return found

    def holds(self, entry: Entry, delivery: Delivery | None) -> bool:
        """Whether one attempt has the text; counts it."""
        if self.text in entry.source.response:
            self.searched += 1
            return True
        if delivery is None:
            self.not_kept += 1
            return False
        self.searched += 1
        return any(form in delivery.body for form in _forms(self.text))

    def may_be_kept(self, entry: Entry) -> bool:
        """Whether its body may be kept still."""
        return entry.source.kept is None or entry.at >= self.kept_since

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"text": self.text, "searched": self.searched, "not_kept": self.not_kept}

    def counts(self) -> str:
        """Such as "1,204 searched; 3 not, as their bodies are not kept"."""
        missing = f"; {self.not_kept:,} not, as their bodies are not kept" if self.not_kept else ""
        return f"{self.searched:,} searched{missing}"


def read_text(text: str | None) -> str | None:
    """The text given for `--contains`.

    Raises:
        UsageError: it is empty.
    """
    if text == "":
        raise UsageError("--contains is empty: give the text to look for")
    return text


def _forms(text: str) -> set[bytes]:
    forms = (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
    return {form.encode("utf-8", "surrogateescape") for form in forms}
