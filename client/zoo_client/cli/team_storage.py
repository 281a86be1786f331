"""``zoo team``: what a team keeps."""

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
PolicyArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="YAML file with the rules.", exists=True, dir_okay=False)
]
PolicyOption = Annotated[
    Path | None, typer.Option("--file", help="Try this policy instead of the team's.", exists=True, dir_okay=False)
]

team = typer.Typer(help="What a team keeps.", add_completion=False, no_args_is_help=True)
retention = typer.Typer(help="Retention policies: what a team does not keep for ever.", no_args_is_help=True)
team.add_typer(retention, name="retention")


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
