"""``zoo team``: what a team takes, how much it may, and what it keeps."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from zoo_client.cli.administration import TeamArgument
from zoo_client.cli.commands import command
from zoo_client.cli.output import fields, state_text, table
from zoo_client.cli.session import session_of
from zoo_client.cli.text import bytes_text, count_text, time_text
from zoo_sdk.errors import InvalidInput

MAX_POLICY_BYTES = 64 * 1024
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
SIZE = re.compile(rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(UNITS)})")
PolicyArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="YAML file with the rules.", exists=True, dir_okay=False)
]
PolicyOption = Annotated[
    Path | None, typer.Option("--file", help="Try this policy instead of the team's.", exists=True, dir_okay=False)
]

team = typer.Typer(
    help="What a team takes, how much it may, and what it keeps.", add_completion=False, no_args_is_help=True
)
retention = typer.Typer(help="Retention policies: what a team does not keep for ever.", no_args_is_help=True)
team.add_typer(retention, name="retention")


@command(team, "usage", "zoo team usage", "zoo team usage vision")
def usage_command(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="TEAM", help="Only this team, with what takes most.")] = None,
) -> None:
    """Show how much room your teams take, and how much they may."""
    session = session_of(context)
    with session.client() as client:
        names = [name] if name else [row["name"] for row in client.teams.iterate()]
        found = [client.team_storage.usage(item) for item in names]
    sections: list[Any] = [lambda: _usage(found)]
    if name and found[0]["largest"]:
        sections += ["", lambda: _largest(found[0])]
    session.show(found[0] if name else {"results": found, "next": None}, *sections)


@command(
    team,
    "quota",
    "zoo team quota vision --physical 500GiB --logical 2TiB",
    "zoo team quota vision --physical none --logical none",
)
def quota_command(
    context: typer.Context,
    name: TeamArgument,
    *,
    physical: Annotated[str, typer.Option(help="Room for the bytes it possesses, such as 500GiB; or none.")],
    logical: Annotated[str, typer.Option(help="Room for the bytes of its versions; or none.")],
) -> None:
    """Limit how much room a team may take; needs an administrator."""
    session = session_of(context)
    limits = {"physical": _bytes_of(physical), "logical": _bytes_of(logical)}
    with session.client() as client:
        found = client.team_storage.set_quota(name, **limits)
    session.show(found, lambda: _usage([found]))


def _usage(rows: list[dict[str, Any]]) -> Any:
    cells = [
        (
            row["team"],
            measure,
            bytes_text(row[measure]["used"]),
            bytes_text(row[measure]["reserved"]),
            "no limit" if row[measure]["quota"] is None else bytes_text(row[measure]["quota"]),
            _share_text(row[measure]),
        )
        for row in rows
        for measure in ("physical", "logical")
    ]
    columns = ("team", "measure", "used", "reserved", "quota", "taken")
    return table(columns, cells, right=("used", "reserved", "quota", "taken"))


def _share_text(use: dict[str, Any]) -> str:
    return f"{100 * (use['used'] + use['reserved']) / use['quota']:.0f} %" if use["quota"] else ""


def _largest(found: dict[str, Any]) -> Any:
    cells = [
        (row["name"], row["kind"], str(row["versions"]), bytes_text(row["size"]), bytes_text(row["restorable"]))
        for row in found["largest"]
    ]
    columns = ("name", "kind", "versions", "size", "of it deleted")
    return table(columns, cells, right=("versions", "size", "of it deleted"))


def _bytes_of(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            f"{text!r} is no size.", hint=f"Write a number with one of {', '.join(UNITS)}, such as 500GiB, or none."
        )
    return int(float(found[1]) * UNITS[found[2]])


@command(retention, "show", "zoo team retention show vision")
def show_command(context: typer.Context, name: TeamArgument) -> None:
    """Show the team's policy."""
    session = session_of(context)
    with session.client() as client:
        found = client.team_storage.retention(name)
    facts = [("team", found["team"]), ("set", f"{time_text(found['updated_at'])} by {found['updated_by']}")]
    session.show(found, lambda: fields(facts), "", found["policy"])


@command(retention, "set", "zoo team retention set vision retention.yaml")
def set_command(context: typer.Context, name: TeamArgument, file: PolicyArgument) -> None:
    """Give the team this policy; needs the role admin. It is applied at night, by deletions that can be taken back."""
    session = session_of(context)
    text = _policy_text(file)
    with session.client() as client:
        found = client.team_storage.set_retention(name, text, file=file.name)
        preview = client.team_storage.preview_retention(name)
    session.show(found)
    session.note(f"Set. It would take {_sum_text(preview)} now: `zoo team retention preview {name}` lists them.")


@command(retention, "remove", "zoo team retention remove vision")
def remove_command(context: typer.Context, name: TeamArgument) -> None:
    """Remove the team's policy: everything is kept."""
    session = session_of(context)
    with session.client() as client:
        client.team_storage.remove_retention(name)
    session.show({"team": name, "removed": True})
    session.note(f"{name} keeps everything now.")


@command(
    retention,
    "preview",
    "zoo team retention preview vision",
    "zoo team retention preview vision --file new.yaml --going",
)
def preview_command(
    context: typer.Context,
    name: TeamArgument,
    *,
    file: PolicyOption = None,
    going: Annotated[bool, typer.Option("--going", help="Only what would go.")] = False,
) -> None:
    """List what the policy would delete now, and why each other version stays. Nothing is changed."""
    session = session_of(context)
    text = _policy_text(file) if file else None
    with session.client() as client:
        found = client.team_storage.preview_retention(name, text, file=file.name if file else "retention.yaml")
    rows = [row for row in found["results"] if row["goes"] or not going]
    session.show(found | {"results": rows}, lambda: _verdicts(rows))
    session.note(f"It would take {_sum_text(found)}; {count_text(range(found['stays']), 'version')} stay.")


def _verdicts(rows: list[dict[str, Any]]) -> Any:
    cells = [
        (
            row["reference"],
            Text("goes", style="red") if row["goes"] else Text("stays", style="green"),
            row["reason"],
            state_text(row["state"]),
            bytes_text(row["size"]),
            time_text(row["sealed_at"]),
        )
        for row in rows
    ]
    return table(("version", "verdict", "because it", "state", "size", "sealed"), cells, right=("size",))


def _sum_text(preview: dict[str, Any]) -> str:
    return f"{count_text(range(preview['goes']), 'version')} of {bytes_text(preview['size'])}"


def _policy_text(file: Path) -> str:
    if file.stat().st_size > MAX_POLICY_BYTES:
        raise InvalidInput(f"The policy {file} is larger than {MAX_POLICY_BYTES} bytes.")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The policy {file} is not UTF-8 text.") from error
