"""Rows for the tests of the registry: users, teams, members, tokens and principals, made without the services."""

import secrets
from collections.abc import Iterable
from datetime import datetime
from itertools import count

from django.utils import timezone
from rest_framework.test import APIClient

from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.authentication import principal_of_token
from zoo_server.accounts.models import Membership, Team, Token, User
from zoo_server.accounts.selectors import TOKEN_PREFIX, token_digest
from zoo_server.rest.principals import Principal

_NUMBERS = count(1)
HUMAN_SCOPES = tuple(scope for scope in Scope if scope is not Scope.WORKER)


def make_user(
    username: str | None = None, *, password: str | None = None, is_superuser: bool = False, is_service: bool = False
) -> User:
    return User.objects.create_user(
        username or f"user-{next(_NUMBERS)}",
        password=password,
        is_superuser=is_superuser,
        is_staff=is_superuser,
        is_service=is_service,
    )


def make_team(name: str | None = None, *, title: str = "") -> Team:
    return Team.objects.create(name=name or f"team-{next(_NUMBERS)}", title=title)


def make_member(team: Team, role: TeamRole = TeamRole.CURATOR, *, user: User | None = None) -> User:
    user = user or make_user()
    Membership.objects.create(team=team, user=user, role=role)
    return user


def make_token(
    user: User,
    scopes: Iterable[Scope] = HUMAN_SCOPES,
    *,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> tuple[Token, str]:
    """A token and its secret.  It was used just now, so a request with it writes no last use."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user=user,
        name=f"token {next(_NUMBERS)}",
        digest=token_digest(secret),
        hint=secret[:10],
        scopes=[scope.value for scope in scopes],
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used_at=timezone.now(),
    )
    return token, secret


def principal_for(user: User, scopes: Iterable[Scope] = HUMAN_SCOPES) -> Principal:
    """The principal of a request with a token of that user."""
    return principal_of_token(make_token(user, scopes)[0], "127.0.0.1")


def client_for(user: User, scopes: Iterable[Scope] = HUMAN_SCOPES) -> APIClient:
    """A REST client that sends a token of that user."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(user, scopes)[1]}")
    return client
