"""``zoo compare``: several versions side by side, Pareto fronts, and a picture of them."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from zoo_client.cli.commands import command, single
from zoo_client.cli.output import fields, table
from zoo_client.cli.repositories import given
from zoo_client.cli.session import session_of
from zoo_client.cli.text import number_text

compare = single()


@command(
    compare,
    "compare",
    "zoo compare vision/resnet50@3 vision/resnet50-slim@1 vision/resnet50-int8@2",
    "zoo compare vision/a vision/b --plot front.svg",
    "zoo compare vision/a vision/b --dataset zoo/fashion@1 --batch 1 --threads 2 --json",
)
def compare_command(  # noqa: PLR0913  one option for each parameter of the route
    context: typer.Context,
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Two versions or more: team/name@3.")],
    *,
    metric: Annotated[str | None, typer.Option(help="Accuracy to compare by (default: the task's own).")] = None,
    dataset: Annotated[str | None, typer.Option(help="On this data set (default: that of most versions).")] = None,
    split: Annotated[str | None, typer.Option(help="On this split.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Latencies on this hardware.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Latencies with this batch.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Latencies with so many threads.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the fronts into this .png or .svg file (needs zoo-client[plot]).")
    ] = None,
) -> None:
    """Compare versions: accuracy, latency within one hardware, size, MACs; reported and measured apart.

    A star marks versions that no other one beats in both figures of a front.
    """
    session = session_of(context)
    if plot is not None:
        from zoo_client.plotting import check_plot

        check_plot(plot)
    wanted = given(metric=metric, dataset=dataset, split=split, fingerprint=fingerprint, batch=batch, threads=threads)
    with session.client() as client:
        found = client.models.versions.compare(refs, **wanted)
    drawn = None
    if plot is not None:
        from zoo_client.plotting import plot_fronts

        drawn = plot_fronts(found, plot)
    session.show(found, *_sections(found))
    if not session.as_json:
        session.note(found["comparability"])
    if drawn:
        session.note(f"Drawn into {plot}: {'; '.join(drawn)}.")


def _sections(found: dict[str, Any]) -> list[RenderableType]:
    sections: list[RenderableType] = [fields(_circumstances(found)), "", _figures(found)]
    fronts = [front for front in found["fronts"] if front["points"]]
    if fronts:
        sections += ["", _fronts(fronts)]
    if found["agreement"]:
        sections += ["", _agreement(found["agreement"])]
    left_out = sorted({(item["reference"], item["reason"]) for front in fronts for item in front["left_out"]})
    if left_out:
        sections += ["", table(("not in a front", "because"), left_out)]
    return sections


def _circumstances(found: dict[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for source in ("measured", "reported"):
        place = found[f"{source}_on"]
        if place:
            rows.append(
                (f"{found['metric']}, {source}", f"on {place['dataset'] or 'an unnamed data set'} {place['split']}")
            )
    condition = found["condition"]
    if condition:
        known = next(item for item in found["fingerprints"] if item["fingerprint"] == condition["fingerprint"])
        rows.append(("timed with", f"batch {condition['batch']}, threads {condition['threads']}, {_hardware(known)}"))
    others = [
        item for item in found["fingerprints"] if not condition or item["fingerprint"] != condition["fingerprint"]
    ]
    rows += [("other hardware", f"{_hardware(item)}, {item['versions']} of the versions") for item in others]
    return rows


def _hardware(known: dict[str, Any]) -> str:
    facts = known["hardware"]
    parts = [facts.get("accelerator"), facts.get("processor")]
    parts.append(f"{facts['processors']:g} processors" if "processors" in facts else "")
    return f"{', '.join(part for part in parts if part)} ({known['fingerprint'][7:19]})"


def _figures(found: dict[str, Any]) -> RenderableType:
    """One row for a version, one column for a metric and source that anybody has."""
    columns = found["versions"][0]["columns"]
    used = [
        (index, source)
        for index, _ in enumerate(columns)
        for source in ("measured", "reported")
        if any(version["columns"][index][source] for version in found["versions"])
    ]
    headings = [_heading(columns[index], source) for index, source in used]
    rows = [
        [
            version["reference"],
            version["strategy"],
            [*version["formats"], *version["precisions"]],
            *(_cell(version["columns"][index][source]) for index, source in used),
        ]
        for version in found["versions"]
    ]
    return table(["version", "strategy", "format", *headings], rows, right=headings)


def _heading(column: dict[str, Any], source: str) -> str:
    unit = f" {column['unit']}" if column["unit"] else ""
    return f"{column['metric']}{unit}{' reported' if source == 'reported' else ''}"


def _cell(figure: dict[str, Any] | None) -> Text:
    if figure is None:
        return Text("")
    text = Text(number_text(figure["value"]))
    if not figure["comparable"]:
        text.stylize("dim")
        text.append(" (apart)", style="dim")
    if figure["noisy"]:
        text.append(" (noisy)", style="yellow")
    return text


def _fronts(fronts: list[dict[str, Any]]) -> RenderableType:
    rows = [
        [
            f"{front['metric']} / {front['cost']}, {front['source']}",
            Text(
                f"{'* ' if point['on_front'] else '  '}{point['reference']}", style="green" if point["on_front"] else ""
            ),
            number_text(point["accuracy"]),
            f"{number_text(point['cost'])} {front['unit']}".rstrip(),
        ]
        for front in fronts
        for point in sorted(front["points"], key=lambda item: item["cost"])
    ]
    return table(("front", "version", "accuracy", "cost"), rows, right=("accuracy", "cost"))


def _agreement(pairs: list[dict[str, Any]]) -> RenderableType:
    rows = [(pair["first"], pair["second"], f"{pair['percent']:.2f} %", pair["samples"]) for pair in pairs]
    return table(("version", "agrees with", "same answer", "pictures"), rows, right=("same answer", "pictures"))
