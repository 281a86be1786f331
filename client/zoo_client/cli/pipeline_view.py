"""A running pipeline on standard error: all its steps, live on a terminal, else a line for each step that changes."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from zoo_client.cli.output import STATE_STYLES, cell, state_text
from zoo_client.cli.text import safe
from zoo_client.pipelines import why_of
from zoo_client.records import Pipeline

BAR_WIDTH = 24
SPARE_LINES = 6
URGENT = {"running": 0, "failed": 1, "gated": 1, "cancelled": 2, "succeeded": 3, "skipped": 4, "waiting": 5}


class PipelineView:
    """Shows a pipeline as it is, again and again."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, markup=False, highlight=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._states: dict[str, str] = {}
        self._waiting: dict[str, str] = {}
        self._silent = False

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, pipeline: Pipeline) -> None:
        """The pipeline as it is now."""
        if self._silent:
            self._silent = False
            self._line("the registry answers again")
        for step in pipeline["steps"]:
            if step["state"] != self._states.get(step["key"], "waiting"):
                self._line(f"{step['key']}: {_step_words(step)}")
            self._states[step["key"]] = step["state"]
            self._say_what_it_waits_for(step)
        if self._console.is_terminal:
            room = max(5, self._console.height - SPARE_LINES)
            self._live.update(live_table(pipeline, room), refresh=True)

    def _say_what_it_waits_for(self, step: Mapping[str, Any]) -> None:
        words = (step.get("job") or {}).get("waiting_for") or ""
        if words and words != self._waiting.get(step["key"]):
            self._line(f"{step['key']}: waiting for {words}")
        self._waiting[step["key"]] = words

    def silence(self, error: Exception) -> None:
        """The registry does not answer."""
        if not self._silent:
            self._silent = True
            self._line(f"waiting for the registry; the pipeline goes on without it ({error})")

    def _line(self, text: str) -> None:
        self._console.print(f"{datetime.now().astimezone():%H:%M:%S} {safe(text, 400)}", soft_wrap=True)


def _step_words(step: Mapping[str, Any]) -> str:
    words = [step["state"]]
    if (step.get("job") or {}).get("cached"):
        words.append("from the cache")
    if step.get("result") and step["state"] in {"succeeded", "gated"}:
        words.append(str(step["result"]))
    words += [str(gate["message"]) for gate in step.get("gates") or () if gate.get("message")]
    if why_of(step):
        words.append(why_of(step))
    return ", ".join(dict.fromkeys(words))


def live_table(pipeline: Pipeline, room: int) -> RenderableType:
    """The steps that fit into ``room`` lines, what is happening before what has happened, and a line about the rest."""
    steps = pipeline["steps"]
    shown = steps
    if len(steps) > room:
        order = sorted(range(len(steps)), key=lambda index: (URGENT.get(steps[index]["state"], 9), index))
        shown = [steps[index] for index in sorted(order[:room])]
    table = Table(box=None, pad_edge=False, show_header=False, show_edge=False)
    for step in shown:
        table.add_row(cell(step["key"]), state_text(step["state"]), _progress(step), cell(_remark(step)))
    return Group(Text(_headline(pipeline)), table)


def _headline(pipeline: Pipeline) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in sorted(pipeline["counts"].items()))
    return safe(f"{pipeline['name']}: {pipeline['state']} ({counts})")


def _progress(step: Mapping[str, Any]) -> RenderableType:
    progress = (step.get("job") or {}).get("progress") or {}
    if step["state"] != "running" or not progress.get("total"):
        return Text("")
    return ProgressBar(total=float(progress["total"]), completed=float(progress["done"]), width=BAR_WIDTH)


def _remark(step: Mapping[str, Any]) -> str:
    if step["state"] == "running":
        job = step.get("job") or {}
        if job.get("waiting_for"):
            return safe(f"waiting for {job['waiting_for']}", 200)
        words = job.get("state", "") if job.get("state") == "queued" else (job.get("progress") or {}).get("message", "")
        return safe(words, 60)
    return safe(_step_words(step).partition(", ")[2], 100)


def steps_table(steps: Sequence[Mapping[str, Any]]) -> Table:
    """All steps with how they ended, for the end."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("step", "operation", "state", "result", "gates", "job", "why"):
        made.add_column(name, overflow="fold")
    for step in steps:
        job = step.get("job") or {}
        made.add_row(
            cell(step["key"]),
            cell(step["operation"]),
            Text(safe(step["state"]), style=STATE_STYLES.get(step["state"], "")),
            cell(step.get("result")),
            cell([gate_text(gate) for gate in step.get("gates") or ()]),
            cell("from the cache" if job.get("cached") else job.get("id")),
            cell(why_of(step) or (f"waiting for {job['waiting_for']}" if job.get("waiting_for") else "")),
        )
    return made


def gate_text(gate: Mapping[str, Any]) -> str:
    """A gate and whether it passed."""
    passed = gate.get("passed")
    mark = "?" if passed is None else "✓" if passed else "✗"
    return f"{mark} {gate.get('message') or gate.get('rule') or gate.get('metric')}"
