"""A plan for people: the graph as an indented table, what the cache has of it, and what the rest will cost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zoo_client.cli.output import cell, fields
from zoo_client.cli.text import safe
from zoo_client.records import Plan, PlannedStep

SHOWN_KEYS = 4


def plan_view(plan: Plan) -> RenderableType:
    """Steps in the order in which they can run, each as deep as its longest way from the beginning."""
    depths = depths_of(plan["steps"], plan["edges"])
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("step", "operation", "takes", "makes", "gates", "cost"):
        table.add_column(name, overflow="fold")
    missing: dict[str, list[str]] = {}
    for step in plan["steps"]:
        style = "dim" if step["left_out"] else ""
        depth = depths.get(step["key"], 0)
        row = (
            Text("   " * (depth - 1) + ("└─ " if depth else "") + safe(step["key"])),
            cell(operation_text(step)),
            cell([taken_text(item) for item in step["inputs"]]),
            cell(step["model"]),
            cell(step["gates"]),
            cost_text(step),
        )
        table.add_row(*row, style=style)
        if step["waiting_for"] and not step["left_out"] and not step["cached"]:
            missing.setdefault(step["waiting_for"], []).append(step["key"])
    waits = [Text(safe(f"{shortened(keys)} will wait for {words}"), style="yellow") for words, keys in missing.items()]
    return Group(table, Text(""), Text(summary_of(plan)), *waits)


def parameters_view(plan: Plan) -> RenderableType:
    """Every step's seed, GPUs and parameters as they were merged; instances of a step with the same ones together."""
    parts: list[RenderableType] = []
    for steps in _alike(plan["steps"]):
        step = steps[0]
        seeds = list(dict.fromkeys(str(item["seed"]) for item in steps))
        title = f"{shortened([item['key'] for item in steps])} ({step['operation']})"
        pairs: list[tuple[str, object]] = [("seed", seeds), ("GPUs", str(step["gpus"]) if step["gpus"] else "")]
        pairs += [(name, json.dumps(value, ensure_ascii=False)) for name, value in step["params"].items()]
        parts += [Text(""), Text(safe(title), style="bold"), Padding(fields(pairs), (0, 0, 0, 3))]
    return Group(*parts)


def _alike(steps: Sequence[PlannedStep]) -> Iterator[list[PlannedStep]]:
    """The steps that run, those of one name with the same parameters together."""
    found: dict[str, list[PlannedStep]] = {}
    for step in steps:
        if not step["left_out"]:
            found.setdefault(json.dumps([step["name"], step["gpus"], step["params"]], sort_keys=True), []).append(step)
    yield from found.values()


def shortened(keys: Sequence[str]) -> str:
    """A few keys, and how many more there are."""
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more


def operation_text(step: PlannedStep) -> str:
    """``torch.train, 2 GPUs``."""
    gpus = f", {step['gpus']} GPU{'s' if step['gpus'] > 1 else ''}" if step["gpus"] else ""
    return step["operation"] + gpus + ("" if step["available"] else " (no worker)")


def depths_of(steps: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """By step, the length of the longest way to it; ``steps`` come in an order in which they can run."""
    sources: dict[str, list[str]] = {}
    for edge in edges:
        sources.setdefault(edge["target"], []).append(edge["source"])
    depths: dict[str, int] = {}
    for step in steps:
        depths[step["key"]] = max((depths.get(key, 0) + 1 for key in sources.get(step["key"], ())), default=0)
    return depths


def taken_text(item: Mapping[str, Any]) -> str:
    """``teacher: team/name@3 x 0.5``."""
    weight = f" x {item['weight']:g}" if item.get("weight") is not None else ""
    return f"{item['port']}: {str(item['source']).removeprefix('steps.')}{weight}"


def cost_text(step: PlannedStep) -> Text:
    """What a step will cost: nothing if it is left out or in the cache."""
    if step["left_out"]:
        return Text("left out", style="dim")
    if step["cached"]:
        return Text(safe(f"✓ in the cache: {step['cached']}"), style="green")
    if step["estimate_seconds"] is None:
        return Text(
            safe(f"unknown ({step['estimate_basis']})" if step["estimate_basis"] else "unknown"), style="yellow"
        )
    basis = f" ({step['estimate_basis']})" if step["estimate_basis"] else ""
    return Text(safe(f"about {duration_text(step['estimate_seconds'])}{basis}"))


def summary_of(plan: Plan) -> str:
    """Everything together, in a sentence or two."""
    steps = [step for step in plan["steps"] if not step["left_out"]]
    cached = sum(1 for step in steps if step["cached"])
    estimate = plan["estimate"]
    if estimate["unknown"] and estimate["unknown"] == len(steps) - cached:
        return f"{len(steps)} steps, {cached} of them in the cache; how long the others take is not known yet."
    words = f"{len(steps)} steps, {cached} of them in the cache; the others take about "
    words += f"{duration_text(estimate['seconds'])} of one worker at a time, "
    words += f"{duration_text(estimate['critical_path_seconds'])} with workers for everything at once"
    unknown = estimate["unknown"]
    return words + (f"; of {unknown} nothing is known yet, they are not counted." if unknown else ".")


def duration_text(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``2.1 d``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} d"
