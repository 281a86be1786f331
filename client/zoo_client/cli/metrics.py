"""``zoo metrics``: a version's metrics against those of another."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import table
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import number_text
from zoo_client.client import Client
from zoo_client.comparison import Comparison, compare, condition_of
from zoo_client.records import Version
from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import LineageRole

BASE_ROLES = (LineageRole.BASE, LineageRole.CONVERTED_FROM, LineageRole.INITIALISED_FROM)

metrics = single()


@command(metrics, "metrics", "zoo metrics vision/resnet50-slim@4", "zoo metrics vision/a@2 --against vision/b@1")
def metrics_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    against: Annotated[
        str | None, typer.Option(help="Another version, or `base`. Default: the base, if there is one.")
    ] = None,
    kind: KindOption = None,
) -> None:
    """Show metrics, and how they differ from the base's; green is better, red is worse."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        other = _other(client, version, against)
        rows = compare(
            versions.metrics(version["reference"]),
            client.models.versions.metrics(other["reference"]) if other else [],
        )
    answer = {
        "reference": version["reference"],
        "against": other["reference"] if other else None,
        "results": [row.as_dict() for row in rows],
    }
    session.show(answer, lambda: _table(rows, other))
    if not rows and not session.as_json:
        session.note(f"{version['reference']} has no metrics; an evaluate operation measures them (`zoo operations`).")


def _other(client: Client, version: Version, against: str | None) -> Version | None:
    if against not in (None, "base"):
        return client.find(str(against))[1]
    for role in BASE_ROLES:
        for parent in version["parents"]:
            if parent["role"] == role and parent["reference"] and "@" in parent["reference"]:
                return client.models.versions.show(parent["reference"])
    if against == "base":
        raise NotFound(f"{version['reference']} has no base held here.", hint="Name a version: --against team/name@1.")
    return None


def _table(rows: list[Comparison], other: Version | None) -> RenderableType:
    columns = ["metric", "value", "unit", "source", "data set", "runtime"]
    if other is None:
        return table(columns, [_cells(row) for row in rows], right=("value",))
    name = other["reference"]
    return table(
        [*columns, name, "difference"],
        [[*_cells(row), _number(row.other), _difference(row)] for row in rows],
        right=("value", name, "difference"),
    )


def _cells(row: Comparison) -> list[object]:
    metric: Any = row.metric
    condition = condition_of(metric)
    timed = f"batch {condition[1]}, threads {condition[2]}" if condition and condition[1] else ""
    where = f"{metric['dataset'] or ''} {metric['split'] or ''} {timed}".strip()
    return [metric["name"], number_text(metric["value"]), metric["unit"], metric["source"], where, metric["runtime"]]


def _number(value: float | None) -> str:
    return "" if value is None else number_text(value)


def _difference(row: Comparison) -> Text:
    if row.difference is None:
        return Text("")
    sign = "+" if row.difference > 0 else ""
    ratio = f" ({sign}{100 * row.difference / row.other:.1f} %)" if row.other and row.metric["unit"] != "%" else ""
    style = {"better": "green", "worse": "red"}.get(row.verdict, "")
    return Text(f"{sign}{number_text(row.difference)}{ratio}", style=style)
