"""Progress bars on standard error; silent where that is no terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from zoo_client.cli.text import safe
from zoo_client.transfer.digests import Progress as Advance


@contextmanager
def bytes_bar(title: str, total: int | None) -> Iterator[Advance]:
    """A bar for bytes; yields the function that advances it (from any thread)."""
    stderr = Console(file=sys.stderr, markup=False, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        task = progress.add_task(safe(title), total=total)
        yield lambda count: progress.advance(task, count)
