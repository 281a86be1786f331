"""Pareto fronts as a PNG or SVG file; needs matplotlib, the extra ``zoo-client[plot]``.

The background is transparent, and text and lines have a grey and colours that can be read on white and on black.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo_sdk.errors import InvalidInput, ZooError

FORMATS = (".png", ".svg")
INK = "#767676"
"""The grey with the same contrast (4.5 : 1) to white and to black."""
COLOURS = {"measured": "#1a8f6a", "reported": "#b26a00"}
INCHES = (5.6, 4.0)
DOTS_PER_INCH = 150
LOGARITHMIC_FROM = 20
"""Ratio of the largest cost to the smallest one."""
MAX_NAME = 34


class PlotUnavailable(ZooError):
    """matplotlib is not installed."""

    code = "plot-unavailable"


def check_plot(path: Path) -> None:
    """Find out before anything is asked of the registry whether a plot can be made.

    Raises:
        InvalidInput: neither PNG nor SVG.
        PlotUnavailable: matplotlib is not installed.

    """
    if path.suffix.lower() not in FORMATS:
        raise InvalidInput(
            f"{path.name!r} is no kind of picture that can be drawn.", hint=f"End the name with {' or '.join(FORMATS)}."
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise PlotUnavailable(
            "Plots need matplotlib, which is not installed.",
            hint="pip install 'zoo-client[plot]'; or open the page /compare of the registry, which draws the same.",
        ) from error


def plot_fronts(comparison: Mapping[str, Any], path: Path) -> list[str]:
    """Draw the fronts of an answer of ``GET compare`` that have two points or more; answers which.

    Raises:
        InvalidInput: there is none, or the file's name does not say PNG or SVG.
        PlotUnavailable: matplotlib is not installed.

    """
    check_plot(path)
    fronts = [front for front in comparison["fronts"] if len(front["points"]) > 1]
    if not fronts:
        raise InvalidInput(
            "There is nothing to draw: no two versions have comparable figures of accuracy and of a cost.",
            hint="Evaluate and benchmark them (`zoo operations`); `zoo compare` says what each lacks.",
        )
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # The same picture from the same figures, and text that stays text.
    with rc_context({"svg.hashsalt": "zoo", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(INCHES[0] * len(fronts), INCHES[1]), layout="constrained")
        figure.patch.set_alpha(0)
        for place, front in zip(figure.subplots(1, len(fronts), squeeze=False)[0], fronts, strict=True):
            _draw(place, front)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=DOTS_PER_INCH, transparent=True, metadata=metadata)
    return [f"{front['metric']} against {front['cost']}, {front['source']}" for front in fronts]


def _draw(axes: Any, front: Mapping[str, Any]) -> None:
    colour = COLOURS[front["source"]]
    points: Sequence[Mapping[str, Any]] = front["points"]
    for on_front in (True, False):
        chosen = [point for point in points if point["on_front"] == on_front]
        face = colour if on_front else "none"
        axes.scatter(
            [point["cost"] for point in chosen], [point["accuracy"] for point in chosen], s=42, facecolors=face,
            edgecolors=colour if on_front else INK, linewidths=1.4, zorder=3,
        )  # fmt: skip
    best = sorted((point["cost"], point["accuracy"]) for point in points if point["on_front"])
    axes.plot([cost for cost, _ in best], [accuracy for _, accuracy in best], "--", color=colour, linewidth=1.2)
    costs = [point["cost"] for point in points]
    if min(costs) > 0 and max(costs) / min(costs) > LOGARITHMIC_FROM:
        axes.set_xscale("log")
    axes.margins(0.18)
    middle = math.sqrt(min(costs) * max(costs)) if axes.get_xscale() == "log" else (min(costs) + max(costs)) / 2
    for point in points:
        is_left = point["cost"] <= middle
        axes.annotate(
            _name(point["reference"]), (point["cost"], point["accuracy"]), xytext=(7 if is_left else -7, 4),
            textcoords="offset points", ha="left" if is_left else "right", color=INK,
        )  # fmt: skip
    unit = f" ({front['unit']})" if front["unit"] else ""
    axes.set_xlabel(f"{front['cost']}{unit}", color=INK)
    axes.set_ylabel(front["metric"], color=INK)
    axes.set_title(front["source"], color=colour)
    axes.patch.set_alpha(0)
    axes.tick_params(colors=INK, which="both")
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(INK)


def _name(reference: str) -> str:
    name = reference.split("/", 1)[-1]
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
