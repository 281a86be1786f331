"""``zoo leaderboard``: a task's versions, ranked, with reported and measured figures side by side."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType

from zoo_client.cli.commands import command, single
from zoo_client.cli.output import table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import session_of
from zoo_client.cli.text import number_text

leaderboard = single()


@command(
    leaderboard,
    "leaderboard",
    "zoo leaderboard --task image-classification",
    "zoo leaderboard --task image-classification --dataset ImageNet-1k --mirrored",
    "zoo leaderboard --task object-detection --catalogue adlik --sort -reported --json",
)
def leaderboard_command(  # noqa: PLR0913  one option for each filter of the route
    context: typer.Context,
    *,
    task: Annotated[str, typer.Option(help="For example image-classification.")],
    metric: Annotated[str | None, typer.Option(help="Rank by this metric (default: the task's own).")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Only figures on the data set of this name, such as ImageNet-1k.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    catalogue: Annotated[str | None, typer.Option(help="Only what was imported from this catalogue.")] = None,
    mirrored: Annotated[
        bool | None, typer.Option("--mirrored/--not-mirrored", help="Only versions whose files are (not) here.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="best, reported, measured, name, created_at; with - before it: descending.")
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """Rank a task's versions, the best first: the measured figure counts, else the reported one."""
    session = session_of(context)
    filters = given(
        metric=metric,
        dataset=dataset,
        team=team,
        catalogue=catalogue,
        mirrored=mirrored,
        sort=sort,
        limit=limit,
        cursor=cursor,
    )
    with session.client() as client:
        source = client.catalogues
        page = source.leaderboard(task, **filters) if not everything else {"results": [], "next": None}
        page = listed(page, source.iterate_leaderboard(task, **filters) if everything else (), everything=everything)
    session.show(page, lambda: _table(page["results"]))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


def _table(rows: list[dict[str, Any]]) -> RenderableType:
    used = [
        column["metric"]
        for position, column in enumerate(rows[0]["columns"] if rows else [])
        if position == 0 or any(row["columns"][position][side] for row in rows for side in ("reported", "measured"))
    ]
    headings = ["version", "strategy", "weights", "data set"]
    numbers = [f"{name} {side}" for name in used for side in ("reported", "measured")]
    shown = [
        [
            row["reference"],
            row["strategy"],
            _weights(row),
            _dataset(row),
            *(_figures(row, used)),
            row["introduction"].split("\n")[0],
        ]
        for row in rows
    ]
    return table([*headings, *numbers, "introduction"], shown, right=tuple(numbers))


def _dataset(row: dict[str, Any]) -> str:
    """Of the figure that decides the row's place."""
    first = row["columns"][0]
    figure = first["measured"] or first["reported"] or {}
    return f"{figure.get('dataset') or ''} {figure.get('split') or ''}".strip()


def _weights(row: dict[str, Any]) -> str:
    formats = ", ".join(dict.fromkeys(file["format"] for file in row["files"]))
    return {"here": formats, "not mirrored": f"{formats} (not mirrored)"}.get(row["availability"], "none")


def _figures(row: dict[str, Any], names: list[str]) -> list[str]:
    found = {column["metric"]: column for column in row["columns"]}
    sides = [found[name][side] for name in names for side in ("reported", "measured")]
    return [number_text(figure["value"]) if figure else "" for figure in sides]
