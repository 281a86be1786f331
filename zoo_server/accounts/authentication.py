"""How callers prove who they are: a bearer token, a browser session, or a token typed as the admin pages' password."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Token, User
from zoo_server.accounts.selectors import TOKEN_PREFIX, live_token
from zoo_server.rest.principals import Principal, address_of

LAST_USE_RESOLUTION = timedelta(minutes=1)
"""``last_used_at`` is written at most this often, so that reading does not become writing."""


class BearerToken(BaseAuthentication):
    """``Authorization: Bearer zoo_...``."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        token = live_token(secret.strip())
        if token is None:
            raise AuthenticationFailed("The token is unknown, expired or revoked. Sign in again with `zoo login`.")
        touch(token)
        return token.user, principal_of_token(token, address_of(request))

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="zoo"'


class BrowserSession(SessionAuthentication):
    """A signed-in browser, with CSRF checked; holds every scope that the user's roles give."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        return found[0], principal_of_user(found[0], address_of(request))


class TokenAsPassword(BaseBackend):
    """Lets a user sign in to the pages with a live ``admin`` token as password (a new server has no passwords)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        if not username or not password or not password.startswith(TOKEN_PREFIX):
            return None
        token = live_token(password)
        if token is None or token.user.username != username or Scope.ADMIN not in token.scopes:
            return None
        return token.user

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


def touch(token: Token) -> None:
    """Remember that the token was used now."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USE_RESOLUTION:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)


def principal_of_token(token: Token, address: str | None = None) -> Principal:
    """The caller that holds this token.  A superuser's rights reach as far as the token's scopes."""
    return Principal(
        name=token.user.username,
        user_id=token.user_id,
        token_id=token.pk,
        scopes=frozenset(Scope(scope) for scope in token.scopes),
        is_superuser=token.user.is_superuser,
        address=address,
    )


def principal_of_user(user: User, address: str | None = None) -> Principal:
    """The caller in a browser session."""
    return Principal(
        name=user.username,
        user_id=user.pk,
        scopes=frozenset(Scope) - {Scope.WORKER},  # narrowed by the role in each team
        is_superuser=user.is_superuser,
        address=address,
    )
