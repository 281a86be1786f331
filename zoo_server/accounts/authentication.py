"""How callers prove who they are: a bearer token, a browser session, or a token typed as the admin pages' password."""

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Token, User
from zoo_server.accounts.selectors import TOKEN_PREFIX, live_token
from zoo_server.accounts.throttling import (
    forget_wrong_passwords,
    note_wrong_password,
    refuse_guesses,
    refuse_wrong_token,
)
from zoo_server.rest.principals import Principal, address_of
from zoo_server.rest.problems import TooManyAttempts

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
            refuse_wrong_token(address=address_of(request))
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


class SignInGuard:
    """Stands before the other backends: stops the sign-in while there were too many wrong passwords."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> None:
        if request is not None and username and password:
            refuse_guesses(username=username, address=address_of(request))


class TooManyAttemptsPage:
    """Middleware: a page that says how long to wait, where a form would have answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer 429 with ``Retry-After``."""
        if not isinstance(error, TooManyAttempts):
            return None
        minutes = ceil(error.seconds / 60)
        page = render(request, "accounts/too_many_attempts.html", {"minutes": minutes}, status=429)
        page.headers["Retry-After"] = str(error.seconds)
        return page


@receiver(user_login_failed)
def note_failure(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Count a wrong password of a form."""
    if request is not None and credentials.get("username"):
        note_wrong_password(username=credentials["username"], address=address_of(request))


@receiver(user_logged_in)
def note_success(request: HttpRequest, user: User, **_: Any) -> None:
    """Whoever knows the password may mistype it as often again."""
    forget_wrong_passwords(username=user.username, address=address_of(request))


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
