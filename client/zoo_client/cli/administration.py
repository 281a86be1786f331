"""``zoo teams``, ``members``, ``tokens``, ``users``."""

from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, group
from zoo_client.cli.output import fields, table
from zoo_client.cli.repositories import given
from zoo_client.cli.session import session_of
from zoo_client.cli.text import time_text
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.vocabulary import Scope, TeamRole

TeamArgument = Annotated[str, typer.Argument(metavar="TEAM", help="For example vision.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="User name.")]

teams = group("List and create teams.")
members = group("List, set and remove the members of a team.")
tokens = group("List, create and revoke your tokens.")
users = group("List and create users.")


@command(teams, "list", "zoo teams")
def teams_list(context: typer.Context) -> None:
    """List the teams that you may see."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.teams.iterate())
    session.show(
        {"results": rows, "next": None}, lambda: table(("team", "title"), [(row["name"], row["title"]) for row in rows])
    )


@command(teams, "create", "zoo teams create vision --title 'Computer vision'")
def teams_create(
    context: typer.Context, name: TeamArgument, *, title: Annotated[str, typer.Option(help="A title.")] = ""
) -> None:
    """Create a team; needs an administrator."""
    session = session_of(context)
    with session.client() as client:
        made = client.teams.create(name, title)
    session.show(made, lambda: fields([("team", made["name"]), ("title", made["title"])]))


@command(members, "list", "zoo members list vision")
def members_list(context: typer.Context, team: TeamArgument) -> None:
    """List the members of a team."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.teams.members(team))
    session.show(
        {"results": rows, "next": None},
        lambda: table(("user", "role"), [(row.get("username"), row.get("role")) for row in rows]),
    )


@command(members, "set", "zoo members set vision ada engineer")
def members_set(
    context: typer.Context,
    team: TeamArgument,
    user: UserArgument,
    role: Annotated[TeamRole, typer.Argument(help="What the user may do in the team.")],
) -> None:
    """Add a user to a team, or change the role."""
    session = session_of(context)
    with session.client() as client:
        answer = client.teams.set_member(team, user, role.value)
    session.show(answer)
    session.note(f"{user} is {role.value} of {team} now.")


@command(members, "remove", "zoo members remove vision ada")
def members_remove(context: typer.Context, team: TeamArgument, user: UserArgument) -> None:
    """Take a user out of a team."""
    session = session_of(context)
    with session.client() as client:
        client.teams.remove_member(team, user)
    session.show({"team": team, "username": user, "removed": True})
    session.note(f"{user} is no member of {team} any more.")


@command(tokens, "list", "zoo tokens", "zoo tokens --user ada")
def tokens_list(
    context: typer.Context,
    *,
    user: Annotated[str | None, typer.Option(help="Somebody else's; needs an administrator.")] = None,
) -> None:
    """List your tokens (never their secrets)."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.tokens.iterate(user))
    session.show({"results": rows, "next": None}, lambda: table(*tokens_table(rows)))


def tokens_table(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Columns and rows of a list of tokens."""
    columns = ("id", "name", "scopes", "expires", "last used")
    return columns, [
        (row["id"], row["name"], row["scopes"], time_text(row.get("expires_at")), time_text(row.get("last_used_at")))
        for row in rows
    ]


@command(
    tokens,
    "create",
    "zoo tokens create ci --scope read --scope submit --days 90",
    "zoo tokens create gpu-1 --scope worker",
)
def tokens_create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    *,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be repeated (default: read).")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
) -> None:
    """Create a token; its secret is printed once."""
    session = session_of(context)
    scopes = known_scopes(scope)
    with session.client() as client:
        made = client.tokens.create(name, scopes, expires_in_days=days)
    session.show(made, str(made["token"]))
    session.note("Keep it safe: it is not shown again.")


def known_scopes(wanted: list[str] | None) -> list[str]:
    """The scopes that were asked for (none: ``read``); raises :class:`UnknownName` that names the nearest."""
    known = [member.value for member in Scope]
    for scope in wanted or ():
        if scope not in known:
            raise UnknownName("scope", scope, known)
    return wanted or [Scope.READ.value]


@command(tokens, "revoke", "zoo tokens revoke 0198f0c2-...")
def tokens_revoke(
    context: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID", help="From `zoo tokens`.")]
) -> None:
    """End a token at once."""
    session = session_of(context)
    with session.client() as client:
        client.tokens.revoke(token_id)
    session.show({"id": token_id, "revoked": True})
    session.note("It is revoked.")


@command(users, "list", "zoo users")
def users_list(context: typer.Context) -> None:
    """List all users; needs an administrator."""
    session = session_of(context)
    with session.client() as client:
        rows = list(client.users.iterate())
    session.show(
        {"results": rows, "next": None},
        lambda: table(
            ("user", "service", "superuser"),
            [(row["username"], row.get("is_service", ""), row.get("is_superuser", "")) for row in rows],
        ),
    )


@command(users, "create", "zoo users create ada", "zoo users create trainer --service")
def users_create(
    context: typer.Context,
    name: UserArgument,
    *,
    service: Annotated[bool, typer.Option("--service", help="A machine: it has tokens and no password.")] = False,
) -> None:
    """Create a user; the password of a person is asked for.  Needs an administrator."""
    session = session_of(context)
    password = None if service else typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not service and not password:
        raise InvalidInput("No password was given.", hint="Type one, or use --service.")
    with session.client() as client:
        made = client.users.create(name, is_service=service, **given(password=password))
    session.show(made, lambda: fields([("user", made["username"])]))
