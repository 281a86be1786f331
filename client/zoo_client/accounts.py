"""People and their rights: sign in, teams, members, tokens, users."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from zoo_client.api import Api, path_of

Answer = dict[str, Any]


class Accounts:
    """``client.accounts``: who is asking."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def login(self, username: str, password: str, **options: Any) -> Answer:
        """A new token for a password; ``options``: name, scopes, expires_in_days.  The secret is in ``token``, once."""
        body = {"username": username, "password": password, **_given(options)}
        return cast("Answer", self._api.post("login", body))

    def whoami(self) -> Answer:
        """Name, scopes and teams of the caller."""
        return cast("Answer", self._api.get("whoami"))


class Teams:
    """``client.teams``: namespaces and their members."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def iterate(self) -> Iterator[Answer]:
        """All teams that the caller may see."""
        return self._api.pages("teams")

    def create(self, name: str, title: str = "") -> Answer:
        """Make a team; needs an administrator."""
        return cast("Answer", self._api.post("teams", {"name": name, "title": title or name}))

    def members(self, team: str) -> Iterator[Answer]:
        """The members of a team with their roles."""
        return self._api.pages(path_of("teams", team, "members"))

    def set_member(self, team: str, username: str, role: str) -> Answer:
        """Give a user a role in a team."""
        return cast("Answer", self._api.send("PUT", path_of("teams", team, "members", username), body={"role": role}))

    def remove_member(self, team: str, username: str) -> None:
        """Take a user out of a team."""
        self._api.send("DELETE", path_of("teams", team, "members", username))


class Services:
    """``client.services``: the service accounts of a team, and their tokens."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def iterate(self, team: str) -> Iterator[Answer]:
        """All of a team, with their roles."""
        return self._api.pages(path_of("teams", team, "services"))

    def create(self, team: str, name: str, role: str) -> Answer:
        """Make one; needs an admin of the team."""
        return cast("Answer", self._api.post(path_of("teams", team, "services"), {"name": name, "role": role}))

    def delete(self, team: str, name: str) -> None:
        """End one with its tokens."""
        self._api.send("DELETE", path_of("teams", team, "services", name))

    def tokens(self, team: str, name: str) -> Iterator[Answer]:
        """Its tokens, without their secrets."""
        return self._api.pages(path_of("teams", team, "services", name, "tokens"))

    def create_token(
        self, team: str, service: str, name: str, scopes: Sequence[str], *, expires_in_days: int | None = None
    ) -> Answer:
        """A new token of a service account; its secret is in ``token``, this once."""
        body = {"name": name, "scopes": list(scopes), **_given({"expires_in_days": expires_in_days})}
        return cast("Answer", self._api.post(path_of("teams", team, "services", service, "tokens"), body))


class WebSessions:
    """``client.sessions``: the browsers in which one is signed in."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def iterate(self, user: str | None = None) -> Iterator[Answer]:
        """All of the caller, or for administrators of ``user``."""
        return self._api.pages("sessions", _given({"user": user}))

    def end(self, session_id: str) -> None:
        """Sign a browser out."""
        self._api.send("DELETE", path_of("sessions", session_id))


class Tokens:
    """``client.tokens``: the caller's own tokens."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def iterate(self, user: str | None = None) -> Iterator[Answer]:
        """All of the caller, or for administrators of ``user``, without their secrets."""
        return self._api.pages("tokens", _given({"user": user}))

    def create(self, name: str, scopes: Sequence[str], *, expires_in_days: int | None = None) -> Answer:
        """A new token; its secret is in ``token``, this once."""
        body = {"name": name, "scopes": list(scopes), **_given({"expires_in_days": expires_in_days})}
        return cast("Answer", self._api.post("tokens", body))

    def revoke(self, token_id: str) -> None:
        """End a token at once."""
        self._api.send("DELETE", path_of("tokens", token_id))


class Users:
    """``client.users``: for administrators."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def iterate(self) -> Iterator[Answer]:
        """All users."""
        return self._api.pages("users")

    def create(self, username: str, *, password: str | None = None, is_service: bool = False) -> Answer:
        """Make a user; a service has no password, only tokens."""
        body = {"username": username, "is_service": is_service, **_given({"password": password})}
        return cast("Answer", self._api.post("users", body))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
