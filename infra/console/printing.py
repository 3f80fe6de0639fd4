"""Lines and tables on a terminal. Every value is made printable and none is read as markup."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.console.text import printable

_ON_ONE_LINE = {"time (UTC)", "day (UTC)", "event", "n", "result", "ms", "state", "status", "next", "attempt"}
_STYLES = {"enabled": "green", "installed": "green", "disabled": "red", "uninstalled": "yellow"}
_STYLES |= {"exhausted": "red", "stopped": "red", "parked": "yellow", "retrying": "yellow"}


def state(state: str) -> Text:
    """A state in its colour."""
    return Text(printable(state), _STYLES.get(state, ""))


def table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Rows under their columns; nothing at all without rows."""
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # On a narrow terminal an id or an answer goes on in the next line, it is not cut.
        table.add_column(column, overflow="fold", no_wrap=column in _ON_ONE_LINE)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    console.print(table)


def cell(text: object) -> Text:
    """A value in a table."""
    return Text(printable(text))


def line(console: Console, text: str, style: str = "") -> None:
    """A line, however wide the terminal."""
    console.print(Text(printable(text), style), soft_wrap=True)
