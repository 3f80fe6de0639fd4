"""What thresholds would have done, as a table of days."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from bellhop.registry import INTERNAL
from health.mail.wording import counted
from health.rules import Thresholds
from infra.console.documents import COUNTS
from infra.console.printing import line, table
from infra.console.what_if import SETTINGS, Compared, DryRun, Ruling


def dry_run(made: DryRun, console: Console) -> None:
    """The days on which either thresholds would have done something, and how often in all."""
    line(console, f"{made.app.app_id}: {len(made.days)} recorded days, each judged at its end.", "bold")
    alone = made.present == made.other
    switched = "off" if made.app.kind == INTERNAL else f"broken, left on ({made.app.kind})"
    columns = ("organisation", "day (UTC)", *COUNTS, "the stack's thresholds") + (() if alone else ("yours",))
    rows = [_row(row, switched, alone=alone) for row in made.days if row.present or row.other]
    table(console, columns, rows)
    if made.days and not rows:
        line(console, "Nothing would have happened on any of them.")
    _summary("the stack's", made.present, (row.present for row in made.days), switched, console)
    if not alone:
        _summary("yours", made.other, (row.other for row in made.days), switched, console)
    line(
        console,
        "After it is switched off the count begins anew on the next day. Of pauses only the last is recorded.",
    )
    if alone:
        line(console, "Others: --set timeouts=500 --set error_days=3 --set pause_hours=48")


def _row(row: Compared, switched: str, *, alone: bool) -> tuple[str | Text, ...]:
    counts = (f"{getattr(row.day, name):,}" for name in COUNTS)
    rulings = [row.present] if alone else [row.present, row.other]
    return (row.organization_id, row.day.day.isoformat(), *counts, *(_ruling(r, switched) for r in rulings))


def _ruling(ruling: Ruling, switched: str) -> Text:
    if ruling.off:
        return Text(f"{switched}: {ruling.off}", "red")
    warned = [f"warned: {rule} {reached:,} of {limit:,}" for rule, reached, limit in ruling.warned]
    return Text(", ".join(warned), "yellow")


def _summary(name: str, limits: Thresholds, rulings: Iterable[Ruling], switched: str, console: Console) -> None:
    made = list(rulings)
    off, warned = sum(bool(r.off) for r in made), sum(len(r.warned) for r in made)
    values = ", ".join(f"{short}={getattr(limits, attribute)}" for short, attribute in SETTINGS.items())
    line(console, f"    {name:<12} {values}: {switched} {counted(off, 'time')}, warned {counted(warned, 'time')}")
