"""``zoo catalog``: import catalogues of existing zoos, and have their files mirrored."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import Session, session_of
from zoo_client.cli.text import bytes_text, safe
from zoo_client.client import Client
from zoo_client.errors import NotMirrored
from zoo_sdk.errors import InvalidInput
from zoo_sdk.names import Reference

MAX_CATALOGUE_BYTES = 1024 * 1024
STYLES = {"created": "green", "changed": "yellow", "unchanged": "dim", "failed": "red", "done": "green"}

catalog = group("Import catalogues of other zoos; mirror their files.")
TeamOption = Annotated[
    str | None, typer.Option(help="Whose models they are (default: your team, if you have one only).")
]


@command(catalog, "list", "zoo catalog list")
def list_command(context: typer.Context) -> None:
    """List the catalogues that the registry has."""
    session = session_of(context)
    with session.client() as client:
        page = client.catalogues.list()
    rows = [(row["name"], row["title"], row["models"], row["versions"], row["summary"]) for row in page["results"]]
    columns = ("catalogue", "title", "models", "versions", "summary")
    session.show(page, lambda: table(columns, rows, right=("models", "versions")))


@command(catalog, "import", "zoo catalog import adlik", "zoo catalog import ./my-zoo.yaml --team vision --prefix mine-")
def import_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="One of `zoo catalog list`, or a YAML file.")],
    *,
    team: TeamOption = None,
    prefix: Annotated[str, typer.Option(help="Comes before the names of new models.")] = "",
) -> None:
    """Make a version of every row; its files stay where they are until `zoo catalog fetch`.

    Doing it again changes nothing; a row that has changed gets a new version.
    """
    session = session_of(context)
    text = _text_of(name)
    with session.client() as client:
        owner = team or _own_team(client)
        if text is None:
            report = client.catalogues.import_known(owner, name, prefix=prefix)
        else:
            report = client.catalogues.import_text(owner, text, file=Path(name).name, prefix=prefix)
    rows = [(row["key"], _styled(row["outcome"]), row["reference"]) for row in report["rows"]]
    session.show(report, lambda: table(("row", "outcome", "version"), rows))
    if not session.as_json:
        counts = ", ".join(f"{report[word]} {word}" for word in ("created", "changed", "unchanged"))
        session.note(f"{counts}. Files that are not mirrored yet: `zoo catalog fetch --team {owner}`.")


@command(catalog, "fetch", "zoo catalog fetch vision/resnet18", "zoo catalog fetch --catalogue adlik --no-wait")
def fetch_command(
    context: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="team/name or team/name@3 (default: all imported).")
    ] = None,
    *,
    team: TeamOption = None,
    catalogue: Annotated[str | None, typer.Option(help="Only what came from this catalogue.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until every file is here or failed.")] = True,
) -> None:
    """Have the registry mirror remote files: resumed after breaks, checked, inspected and scanned."""
    session = session_of(context)
    wanted = models or []
    with session.client() as client:
        owner = team or (Reference.parse(wanted[0]).team if wanted else _own_team(client))
        report = client.catalogues.fetch(owner, wanted, catalogue=catalogue)
        rows = _followed(session, client, owner, wanted) if wait else []
    shown = {**report, "files": rows}
    failed = [row for row in rows if row["state"] == "failed"]
    session.show(shown, *([lambda: _files(rows)] if rows else []))
    if not session.as_json:
        session.note(f"{report['queued']} to fetch, {report['mirrored']} were here already.")
    if failed:
        raise NotMirrored(
            f"{len(failed)} of {len(rows)} files could not be fetched: {failed[0]['address']}: "
            f"{(failed[0]['error'] or {}).get('message', '')}",
            hint="`zoo catalog status` lists them; fetching again tries them again.",
            facts={"failed": [row["address"] for row in failed]},
        )


@command(catalog, "status", "zoo catalog status --state failed", "zoo catalog status --team vision --all --json")
def status_command(
    context: typer.Context,
    *,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of the model of this name, without its team.")] = None,
    state: Annotated[str | None, typer.Option(help="away, queued, fetching, done or failed.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List remote files: where they are, and how far their fetching is."""
    session = session_of(context)
    filters = given(team=team, model=model, state=state, limit=limit, cursor=cursor)
    with session.client() as client:
        source = client.catalogues
        page = source.files(**filters) if not everything else {"results": [], "next": None}
        page = listed(page, source.iterate_files(**filters) if everything else (), everything=everything)
    session.show(page, lambda: _files(page["results"]))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


def _text_of(name: str) -> str | None:
    """The text of the file of that name; None when it is the name of a catalogue that the registry has."""
    path = Path(name)
    if not path.is_file():
        if "/" in name or path.suffix in {".yaml", ".yml"}:
            raise InvalidInput(f"There is no file {name}.", hint="`zoo catalog list` shows what the registry has.")
        return None
    if path.stat().st_size > MAX_CATALOGUE_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_CATALOGUE_BYTES} bytes.", hint="Make several catalogues.")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 text.") from error


def _own_team(client: Client) -> str:
    """The only team that the caller is a member of."""
    teams = [str(item["name"]) for item in client.accounts.whoami()["teams"]]
    if len(teams) != 1:
        raise InvalidInput(
            f"You are a member of {len(teams)} teams.", hint=f"Say which one: --team {'|'.join(teams) or 'TEAM'}."
        )
    return teams[0]


def _followed(session: Session, client: Client, team: str, models: list[str]) -> list[dict[str, Any]]:
    def meant(row: dict[str, Any]) -> bool:
        name = row["reference"].partition("@")[0]
        return row["state"] is not None and (not models or row["reference"] in models or name in models)

    told: set[str] = set()

    def tell(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["state"] in {"done", "failed"} and row["address"] not in told:
                told.add(row["address"])
                session.note(f"{row['state']}: {row['address']}")

    return client.catalogues.follow(team, meant, on_change=tell)


def _files(rows: list[dict[str, Any]]) -> RenderableType:
    shown = [
        (row["reference"], row["path"], _styled(_state(row)), _amount(row), row["address"],
         (row["error"] or {}).get("message", ""))
        for row in rows
    ]  # fmt: skip
    return table(("version", "file", "state", "size", "address", "error"), shown, right=("size",))


def _state(row: dict[str, Any]) -> str:
    return row["state"] or ("done" if row["mirrored"] else "not mirrored")


def _amount(row: dict[str, Any]) -> str:
    if row["total"] is None:
        return ""
    return bytes_text(row["total"]) if row["mirrored"] else f"{bytes_text(row['done'])} of {bytes_text(row['total'])}"


def _styled(word: str) -> Text:
    return Text(safe(word), style=STYLES.get(word, ""))
