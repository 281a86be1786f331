"""``zoo alias``: moving pointers to versions."""

from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, group
from zoo_client.cli.options import RefArgument
from zoo_client.cli.output import table
from zoo_client.cli.repositories import NameArgument
from zoo_client.cli.session import KindChoice, kind_option, session_of
from zoo_client.cli.text import time_text

AliasArgument = Annotated[str, typer.Argument(metavar="ALIAS", help="For example production.")]
KindOption = Annotated[KindChoice, typer.Option("--kind", help="model or dataset.")]

alias = group("Set, list and remove aliases such as production.")


@command(alias, "set", "zoo alias set vision/resnet50@4 production")
def set_command(context: typer.Context, ref: RefArgument, name: AliasArgument, *, kind: KindOption = "model") -> None:
    """Point an alias to a version; its former place stays in the history."""
    session = session_of(context)
    with session.client() as client:
        _, version = client.find(ref, kind_option(kind))
        full_name = f"{version['team']}/{version['name']}"
        answer = client.repositories(kind_option(kind)).aliases.set(full_name, name, version["number"])
    session.show(answer)
    session.note(f"{full_name}@{name.removeprefix('@')} is {version['reference']} now.")


@command(alias, "list", "zoo alias list vision/resnet50")
def list_command(context: typer.Context, name: NameArgument, *, kind: KindOption = "model") -> None:
    """List the aliases of a model."""
    session = session_of(context)
    with session.client() as client:
        answer = client.repositories(kind_option(kind)).aliases.list(name)
    session.show(answer, lambda: table(("alias", "version", "since"), [_alias_row(row) for row in answer["results"]]))


def _alias_row(row: dict[str, Any]) -> tuple[object, ...]:
    return f"@{row['name']}", row["reference"], time_text(row["updated_at"])


@command(alias, "history", "zoo alias history vision/resnet50 production")
def history_command(
    context: typer.Context, name: NameArgument, alias_name: AliasArgument, *, kind: KindOption = "model"
) -> None:
    """Show the moves of an alias, newest first."""
    session = session_of(context)
    with session.client() as client:
        answer = client.repositories(kind_option(kind)).aliases.history(name, alias_name)
    rows = [(time_text(row["moved_at"]), row["before"], row["after"], row["moved_by"]) for row in answer["results"]]
    session.show(answer, lambda: table(("when", "from", "to", "by"), rows))


@command(alias, "remove", "zoo alias remove vision/resnet50 production")
def remove_command(
    context: typer.Context, name: NameArgument, alias_name: AliasArgument, *, kind: KindOption = "model"
) -> None:
    """Take an alias away; its history stays."""
    session = session_of(context)
    with session.client() as client:
        client.repositories(kind_option(kind)).aliases.remove(name, alias_name)
    session.show({"name": name, "alias": alias_name.removeprefix("@"), "removed": True})
    session.note(f"{name}@{alias_name.removeprefix('@')} is removed.")
