"""Reading accounts: who is this token, and which roles and tokens has somebody."""

from hashlib import sha256
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Membership, Token
from zoo_server.accounts.permissions import administers_server, own_teams_with, require_superuser
from zoo_server.rest.principals import Principal

TOKEN_PREFIX = "zoo_"  # noqa: S105  a prefix by which secret scanners know our tokens


def token_digest(secret: str) -> str:
    """How a token's secret is kept.  Secrets have 256 random bits, so a plain hash is enough."""
    return sha256(secret.encode()).hexdigest()


def live_token(secret: str) -> Token | None:
    """The token with this secret, unless it is unknown, revoked, expired or its user is inactive."""
    return (
        Token.objects.select_related("user")
        .filter(digest=token_digest(secret), revoked_at=None, user__is_active=True)
        .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        .first()
    )


def memberships_of(*, principal: Principal) -> list[Membership]:
    """The caller's roles, with their teams."""
    if principal.user_id is None:
        return []
    rows = Membership.objects.filter(user_id=principal.user_id).select_related("team")
    return list(rows.order_by("team__name"))


def live_tokens(*, principal: Principal, username: str | None = None) -> QuerySet[Token]:
    """The tokens of the caller, or for superusers of somebody else, that were not revoked.

    Raises:
        PermissionDenied: ``username`` is given, and the caller is no superuser.

    """
    rows = Token.objects.select_related("user").filter(revoked_at=None)
    if username is not None:
        require_superuser(principal)
        return rows.filter(user__username=username)
    return rows.filter(user_id=principal.user_id) if principal.user_id else rows.none()


def token_for(*, principal: Principal, token_id: UUID) -> Token:
    """A token that the caller may end: its own, one of a service account of a team that it is an admin of, and for
    superusers any; raises :class:`NotFound` otherwise.
    """
    rows = Token.objects.select_related("user").filter(pk=token_id)
    if not administers_server(principal):
        administered = own_teams_with(principal=principal, scope=Scope.ADMIN)
        rows = rows.filter(Q(user_id=principal.user_id) | Q(user__home__in=administered))
    token = rows.first()
    if token is None:
        raise NotFound(f"You have no token {token_id}.", hint="See GET /api/v1/tokens.")
    return token
