"""What commands print: JSON or tables to standard output, everything else to standard error."""

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo_client.cli.text import safe

MAX_CELL = 200
PIPE_WIDTH = 240


def console(stream: TextIO | None = None) -> Console:
    """A console for standard output (or ``stream``) that adds no markup and no highlighting of its own.

    Where nobody looks (a pipe, a file) lines are as long as they need to be.
    """
    target = stream or sys.stdout
    if target.isatty():
        return Console(file=target, highlight=False, markup=False)
    return Console(file=target, highlight=False, markup=False, soft_wrap=True, width=PIPE_WIDTH)


def cell(value: object) -> Text:
    """A table's cell."""
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return value if isinstance(value, Text) else Text(safe(value, MAX_CELL))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; ``right`` names the columns of numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in right)
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def fields(pairs: Sequence[tuple[str, object]]) -> Table:
    """Names and values, one below the other; empty values are left out."""
    made = Table(box=None, pad_edge=False, show_header=False, show_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], {}):
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            made.add_row(name, shown if isinstance(shown, Text) else Text(safe(shown)))
    return made


STATE_STYLES = {
    "draft": "dim",
    "candidate": "yellow",
    "approved": "green",
    "deprecated": "magenta",
    "withdrawn": "red",
    "queued": "dim",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
    "waiting": "dim",
    "skipped": "dim",
    "gated": "yellow",
    "stopped": "yellow",
}


def state_text(state: object) -> Text:
    """A state in its colour."""
    return Text(safe(state), style=STATE_STYLES.get(str(state), ""))


Render = Callable[[Console], None]
