"""A running job on standard error: a bar that moves, and lines for what it says."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from zoo_client.cli.text import number_text, safe


class JobView:
    """Shows the events of a job and the job itself as they come; plain lines where standard error is no terminal."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, markup=False, highlight=False)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}", markup=False),
        )
        live = self._console.is_terminal
        self._progress = Progress(*columns, console=self._console, transient=True, disable=not live)
        self._task = self._progress.add_task("waiting", total=None, message="")
        self._state = ""
        self._waiting_for = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        """A progress, metric, log or state event."""
        body = event["body"]
        if event["kind"] == "progress":
            message = safe(body.get("message", ""), 60)
            self._progress.update(self._task, completed=body.get("done", 0), total=body.get("total"), message=message)
        elif event["kind"] == "metric":
            step = f" (step {body['step']})" if body.get("step") is not None else ""
            self._line(event, f"{body.get('name')} = {number_text(float(body.get('value', 0)))}{step}")
        elif event["kind"] == "log":
            self._line(event, str(body.get("message", "")))
        else:
            self._line(event, f"[{body.get('state', event['kind'])}] {body.get('message', '')}".rstrip())

    def job(self, job: Mapping[str, Any]) -> None:
        """The job as it is now."""
        if job["state"] != self._state:
            self._state = job["state"]
            place = f" on {job['owner']}" if job.get("owner") else ""
            self._console.print(safe(f"{job['operation']}: {job['state']}{place}"))
        if (job.get("waiting_for") or "") != self._waiting_for:
            self._waiting_for = job.get("waiting_for") or ""
            if self._waiting_for:
                self._console.print(safe(f"{job['operation']}: waiting for {self._waiting_for}"), soft_wrap=True)
        self._progress.update(self._task, description=safe(job["operation"]))

    def _line(self, event: Mapping[str, Any], text: str) -> None:
        self._console.print(f"{str(event.get('time', ''))[11:19]} {safe(text)}", soft_wrap=True)
