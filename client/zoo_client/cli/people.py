"""``zoo services`` and ``sessions``: accounts of machines, and the browsers in which people are signed in."""

from typing import Annotated

import typer

from zoo_client.cli.administration import TeamArgument, known_scopes, tokens_table
from zoo_client.cli.commands import command, group
from zoo_client.cli.output import fields, table
from zoo_client.cli.session import session_of
from zoo_client.cli.text import time_text
from zoo_sdk.vocabulary import TeamRole

ServiceArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the account within its team, such as ci.")]

services = group("List, create and delete the service accounts of a team, and their tokens.")
sessions = group("List the browsers in which you are signed in; sign them out.")


@command(services, "list", "zoo services list vision")
def services_list(context: typer.Context, team: TeamArgument) -> None:
    """List a team's service accounts."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.services.iterate(team))
    session.show(
        {"results": rows, "next": None},
        lambda: table(
            ("name", "user", "role", "since"),
            [(row["name"], row["username"], row["role"], time_text(row["created_at"])) for row in rows],
        ),
    )


@command(services, "create", "zoo services create vision ci contributor")
def services_create(
    context: typer.Context,
    team: TeamArgument,
    name: ServiceArgument,
    role: Annotated[TeamRole, typer.Argument(help="What it may do in the team.")],
) -> None:
    """Create a service account; needs an admin of the team."""
    session = session_of(context)
    with session.client() as client:
        made = client.services.create(team, name, role.value)
    session.show(made, lambda: fields([("user", made["username"]), ("role", made["role"])]))


@command(services, "delete", "zoo services delete vision ci")
def services_delete(context: typer.Context, team: TeamArgument, name: ServiceArgument) -> None:
    """End a service account and its tokens; what it made stays."""
    session = session_of(context)
    with session.client() as client:
        client.services.delete(team, name)
    session.show({"team": team, "name": name, "deleted": True})
    session.note(f"{name} of {team} is deleted, its tokens are revoked.")


@command(services, "tokens", "zoo services tokens vision ci")
def services_tokens(context: typer.Context, team: TeamArgument, name: ServiceArgument) -> None:
    """List the tokens of a service account (never their secrets); `zoo tokens revoke` ends one."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.services.tokens(team, name))
    session.show({"results": rows, "next": None}, lambda: table(*tokens_table(rows)))


@command(services, "token", "zoo services token vision ci build --scope read --scope add --days 30")
def services_token(
    context: typer.Context,
    team: TeamArgument,
    name: ServiceArgument,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="What the token is for.")],
    *,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be repeated (default: read).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires (default: 90).")] = None,
) -> None:
    """Create a token of a service account; its secret is printed once."""
    session = session_of(context)
    scopes = known_scopes(scope)
    with session.client() as client:
        made = client.services.create_token(team, name, token, scopes, expires_in_days=days)
    session.show(made, str(made["token"]))
    session.note("Keep it safe: it is not shown again.")


@command(sessions, "list", "zoo sessions", "zoo sessions --user ada")
def sessions_list(
    context: typer.Context,
    *,
    user: Annotated[str | None, typer.Option(help="Somebody else's; needs an administrator.")] = None,
) -> None:
    """List the browsers in which you are signed in."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.sessions.iterate(user))
    session.show(
        {"results": rows, "next": None},
        lambda: table(
            ("id", "user", "address", "browser", "since", "last used"),
            [
                (
                    row["id"],
                    row["username"],
                    row["address"],
                    row["agent"][:60],
                    time_text(row["created_at"]),
                    time_text(row["last_used_at"]),
                )
                for row in rows
            ],
        ),
    )


@command(sessions, "revoke", "zoo sessions revoke 0198f0c2-...")
def sessions_revoke(
    context: typer.Context, session_id: Annotated[str, typer.Argument(metavar="ID", help="From `zoo sessions`.")]
) -> None:
    """Sign a browser out at once."""
    session = session_of(context)
    with session.client() as client:
        client.sessions.end(session_id)
    session.show({"id": session_id, "revoked": True})
    session.note("It is signed out.")
