"""``zoo models`` and the commands that ``zoo datasets`` shares with it: list, show, create, edit."""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import cell, fields, table
from zoo_client.cli.session import session_of
from zoo_client.cli.text import deletion_text, number_text, size_text, time_text
from zoo_client.records import Kind, Page, Repository
from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import VersionState, Visibility

MAX_CARD_BYTES = 1024 * 1024

NameArgument = Annotated[str, typer.Argument(metavar="TEAM/NAME", help="For example vision/resnet50.")]
CardOption = Annotated[
    Path | None, typer.Option("--card", help="Markdown file with the card.", exists=True, dir_okay=False)
]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
AllOption = Annotated[bool, typer.Option("--all", help="All pages, not only the first.")]
DeletedOption = Annotated[bool, typer.Option("--deleted", help="The deleted ones instead of the others.")]
LimitOption = Annotated[int, typer.Option(min=1, max=200, help="Rows of a page.")]
CursorOption = Annotated[str | None, typer.Option(help="Go on where a page ended (`next` of its JSON).")]


def listed(page: Page, rows: Iterable[Any], *, everything: bool) -> Page:
    """The page, or with ``--all`` one page that holds all rows."""
    return {"results": list(rows), "next": None} if everything else page


def more_note(page: Page) -> str:
    """What to say below a page that is not the last."""
    return "More: --all, or --cursor with the `next` of --json." if page.get("next") else ""


def card_text(path: Path | None) -> str | None:
    """The card's text; raises :class:`InvalidInput` for a file that is no text or too large."""
    if path is None:
        return None
    if path.stat().st_size > MAX_CARD_BYTES:
        raise InvalidInput(f"The card {path} is larger than {MAX_CARD_BYTES} bytes.")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The card {path} is not UTF-8 text.") from error


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def repository_commands(kind: Kind, summary: str) -> typer.Typer:
    """The group for a kind."""
    app = group(summary)
    word = kind.removesuffix("s")
    example = "vision/resnet50" if kind == "models" else "vision/fashion-mnist"

    @command(
        app,
        "list",
        f"zoo {kind} --task image-classification --sort -metric:top1",
        f"zoo {kind} list --search resnet --all",
    )
    def list_command(  # noqa: PLR0913  one option for each filter of the route
        context: typer.Context,
        *,
        team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
        task: Annotated[str | None, typer.Option(help="Only for this task.")] = None,
        tag: TagOption = None,
        licence: Annotated[str | None, typer.Option(help="Only under this licence.")] = None,
        architecture: Annotated[str | None, typer.Option(help="Only of this architecture.")] = None,
        search: Annotated[str | None, typer.Option(help="Words in name, title, card, tags.")] = None,
        visibility: Annotated[Visibility | None, typer.Option(help="Only with this visibility.")] = None,
        state: Annotated[VersionState | None, typer.Option(help="Only with a version in this state.")] = None,
        alias: Annotated[str | None, typer.Option(help="Only with this alias.")] = None,
        format_name: Annotated[
            str | None, typer.Option("--format", help="Only with an artifact of this format.")
        ] = None,
        deleted: DeletedOption = False,
        sort: Annotated[
            str | None, typer.Option(help="created_at, name, metric:NAME, relevance; with - before it: descending.")
        ] = None,
        limit: LimitOption = 50,
        cursor: CursorOption = None,
        everything: AllOption = False,
    ) -> None:
        """List what matches, newest first."""
        session = session_of(context)
        filters = given(
            team=team, task=task, tag=tag, licence=licence, architecture=architecture, search=search, alias=alias,
            visibility=visibility, state=state, format=format_name, deleted=deleted or None, sort=sort, limit=limit,
            cursor=cursor,
        )  # fmt: skip
        with session.client() as client:
            source = client.repositories(kind)
            page = source.list(**filters) if not everything else {"results": [], "next": None}
            page = listed(page, source.iterate(**filters) if everything else (), everything=everything)
        session.show(page, lambda: _table(page["results"]))
        if not session.as_json and more_note(page):
            session.note(more_note(page))

    @command(app, "show", f"zoo {kind} show {example}")
    def show_command(context: typer.Context, name: NameArgument) -> None:
        """Show one with its card, aliases and newest versions."""
        session = session_of(context)
        with session.client() as client:
            source = client.repositories(kind)
            found = source.show(name)
            versions = [] if session.as_json else list(islice(source.versions.iterate(name, limit=10), 10))
        rows = [
            (
                item["reference"],
                item["state"],
                *network_cells(item),
                size_text(item),
                time_text(item["created_at"]),
                item["notes"],
            )
            for item in versions
        ]
        session.show(
            found,
            lambda: fields(_facts(found)),
            "",
            lambda: table(("version", "state", "formats", "parameters", "precision", "size", "made", "notes"), rows),
            *((lambda: cell(""), lambda: fields([("card", found["card"])])) if found["card"] else ()),
        )

    @command(app, "create", f"zoo {kind} create {example} --title 'An example' --licence Apache-2.0")
    def create_command(  # noqa: PLR0913  one option for each field
        context: typer.Context,
        name: NameArgument,
        *,
        title: Annotated[str | None, typer.Option(help="A short title.")] = None,
        task: Annotated[str | None, typer.Option(help="Task, such as image-classification.")] = None,
        architecture: Annotated[str | None, typer.Option(help="Architecture, such as resnet50.")] = None,
        licence: Annotated[str | None, typer.Option(help="SPDX identifier of the licence.")] = None,
        tag: TagOption = None,
        visibility: Annotated[Visibility | None, typer.Option(help="Who may read.")] = None,
        card: CardOption = None,
    ) -> None:
        """Create an empty one; `push` fills it."""
        session = session_of(context)
        values = given(
            title=title, task=task, architecture=architecture, licence=licence, tags=tag, visibility=visibility,
            card=card_text(card),
        )  # fmt: skip
        with session.client() as client:
            made = client.repositories(kind).create(name, **values)
        session.show(made, lambda: fields(_facts(made)))

    @command(app, "edit", f"zoo {kind} edit {example} --card card.md --tag compressed")
    def edit_command(  # noqa: PLR0913  one option for each field
        context: typer.Context,
        name: NameArgument,
        *,
        title: Annotated[str | None, typer.Option(help="A short title.")] = None,
        task: Annotated[str | None, typer.Option(help="Task.")] = None,
        architecture: Annotated[str | None, typer.Option(help="Architecture.")] = None,
        licence: Annotated[str | None, typer.Option(help="SPDX identifier of the licence.")] = None,
        tag: TagOption = None,
        visibility: Annotated[Visibility | None, typer.Option(help="Who may read.")] = None,
        card: CardOption = None,
    ) -> None:
        """Change some fields; tags replace the former ones."""
        session = session_of(context)
        values = given(
            title=title, task=task, architecture=architecture, licence=licence, tags=tag, visibility=visibility,
            card=card_text(card),
        )  # fmt: skip
        if not values:
            raise InvalidInput("Nothing to change.", hint=f"Name a field: `zoo {kind} edit --help` lists them.")
        with session.client() as client:
            changed = client.repositories(kind).update(name, **values)
        session.show(changed, lambda: fields(_facts(changed)))

    list_command.__doc__ = f"List {kind}, newest first."
    show_command.__doc__ = f"Show a {word} with its card, aliases and newest versions."
    return app


def _table(rows: list[Any]) -> Any:
    columns = ("name", "task", "architecture", "licence", "latest", "aliases", "updated")
    return table(
        columns,
        [
            (
                row["full_name"],
                row["task"],
                row["architecture"],
                row["licence"],
                number_text(row["latest"]) if isinstance(row["latest"], int) else "",
                [f"{name}={number}" for name, number in row["aliases"].items()],
                time_text(row["updated_at"]),
            )
            for row in rows
        ],
        right=("latest",),
    )


def network_cells(version: Mapping[str, Any]) -> tuple[list[str], str, list[str]]:
    """Formats, parameter count and precisions of a version's artifacts, as far as they are known."""
    artifacts = version.get("artifacts", [])
    counts = [file["facts"]["parameters"] for file in version["files"] if "parameters" in (file.get("facts") or {})]
    precisions = [item["precision"] for item in artifacts if item["precision"]]
    return (
        list(dict.fromkeys(item["format"] for item in artifacts)),
        number_text(max(counts)) if counts else "",
        list(dict.fromkeys(precisions)),
    )


def _facts(found: Repository) -> list[tuple[str, object]]:
    return [
        ("name", found["full_name"]),
        ("title", found["title"]),
        ("task", found["task"]),
        ("architecture", found["architecture"]),
        ("licence", found["licence"]),
        ("tags", found["tags"]),
        ("visibility", found["visibility"]),
        ("latest", found["latest"]),
        ("aliases", [f"@{name} = {number}" for name, number in found["aliases"].items()]),
        ("created", f"{time_text(found['created_at'])} by {found['created_by']}"),
        ("deleted", deletion_text(found.get("deletion"))),
    ]


models = repository_commands("models", "List, show, create and edit models.")
