"""``zoo login``, ``logout``, ``whoami``."""

import os
import sys
from typing import Annotated, Any

import typer

from zoo_client.accounts import Accounts
from zoo_client.api import Api
from zoo_client.cli.commands import command, single
from zoo_client.cli.output import fields
from zoo_client.cli.session import session_of
from zoo_client.client import Client
from zoo_client.credentials import LoginFile, config_folder, resolve
from zoo_sdk.errors import InvalidInput

MAX_SECRET = 4096

login, logout, whoami = single(), single(), single()


def _login_file() -> LoginFile:
    return LoginFile(config_folder(os.environ) / "login.json")


@command(
    login,
    "login",
    "zoo login --url https://zoo.example.org --username ada",
    "zoo login --token zoo_...",
    "cat token.txt | zoo login --stdin",
)
def login_command(
    context: typer.Context,
    *,
    username: Annotated[str | None, typer.Option(help="Sign in with a password, which is asked for.")] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the token (or the password) from standard input.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the new token (with --username).")] = "zoo login",
    days: Annotated[int | None, typer.Option(min=1, help="Days until the new token expires.")] = None,
) -> None:
    """Sign in: check a token, or get one for a password, and keep it for this registry."""
    session = session_of(context)
    settings = resolve(session.url, session.token)
    secret = session.token or _secret("Password" if username else "Token", from_stdin=stdin)
    if username:
        with Api(settings.url) as api:  # without the kept token: an expired one would be refused
            secret = str(Accounts(api).login(username, secret, name=name, expires_in_days=days)["token"])
    with Client(settings.url, secret) as client:
        me = client.accounts.whoami()
    file = _login_file()
    file.keep(settings.url, secret)
    session.show({"url": settings.url, **me}, lambda: fields([("registry", settings.url), *_facts(me)]))
    session.note(f"Signed in; the token is kept in {file.path}.")


def _secret(what: str, *, from_stdin: bool) -> str:
    text = sys.stdin.read(MAX_SECRET).strip() if from_stdin else typer.prompt(what, hide_input=True, err=True).strip()
    if not text:
        raise InvalidInput(f"No {what.lower()} was given.", hint="Type it, or pipe it in with --stdin.")
    return str(text)


@command(logout, "logout", "zoo logout")
def logout_command(context: typer.Context) -> None:
    """Forget the token that is kept for this registry (it stays valid: `zoo tokens revoke` ends it)."""
    session = session_of(context)
    settings = resolve(session.url, None)
    forgotten = _login_file().forget(settings.url)
    session.show({"url": settings.url, "forgotten": forgotten})
    session.note(
        f"The token for {settings.url} is forgotten." if forgotten else f"No token was kept for {settings.url}."
    )


@command(whoami, "whoami", "zoo whoami", "zoo whoami --json")
def whoami_command(context: typer.Context) -> None:
    """Show who you are, your scopes and your teams."""
    session = session_of(context)
    with session.client() as client:
        me = client.accounts.whoami()
        session.show(me, lambda: fields([("registry", client.api.url), *_facts(me)]))


def _facts(me: dict[str, Any]) -> list[tuple[str, object]]:
    token = me.get("token") or {}
    return [
        ("user", me.get("username")),
        ("scopes", me.get("scopes")),
        ("teams", [f"{team.get('name')} ({team.get('role')})" for team in me.get("teams", [])]),
        ("superuser", "yes" if me.get("is_superuser") else ""),
        ("token", token.get("name")),
        ("expires", token.get("expires_at")),
    ]
