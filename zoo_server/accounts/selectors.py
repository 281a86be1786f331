"""Reading accounts: who is this token, and what may this caller do in this team."""

from hashlib import sha256
from typing import NoReturn
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from zoo_sdk.errors import NotFound, PermissionDenied
from zoo_sdk.vocabulary import ROLE_SCOPES, Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, Token, User
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


def team_scopes(*, principal: Principal, team: Team) -> frozenset[Scope]:
    """What the caller may do inside ``team``: the token's scopes narrowed by the role there (not for superusers)."""
    if principal.is_superuser:
        return frozenset(scope for scope in Scope if principal.may(scope))
    if principal.user_id is None:
        return frozenset()
    role = Membership.objects.filter(team=team, user_id=principal.user_id).values_list("role", flat=True).first()
    if role is None:
        return frozenset()
    return frozenset(scope for scope in ROLE_SCOPES[TeamRole(role)] if principal.may(scope))


def member_team_ids(*, principal: Principal) -> list[UUID]:
    """The ids of the teams that the caller is a member of."""
    if principal.user_id is None:
        return []
    return list(Membership.objects.filter(user_id=principal.user_id).values_list("team_id", flat=True))


def team_for(*, principal: Principal, name: str, scope: Scope) -> Team:
    """The team of that name if the caller holds ``scope`` in it.

    Raises:
        NotFound: no such team, or the caller is no member (existence is not disclosed).
        PermissionDenied: a member, but the role or the token lacks the scope.

    """
    team = Team.objects.filter(name=name).first()
    scopes = team_scopes(principal=principal, team=team) if team else frozenset()
    if team is None or not scopes:
        raise NotFound(f"There is no team {name!r} that you may see.", hint="See `zoo whoami` for your teams.")
    if scope not in scopes:
        deny(scope, team.name)
    return team


def teams_with_scope(principal: Principal, scope: Scope) -> list[str] | None:
    """The names of the teams in which the caller holds ``scope``; None means every team (superusers)."""
    if principal.is_superuser:
        return None if principal.may(scope) else []
    if principal.user_id is None or not principal.may(scope):
        return []
    roles = [role.value for role, scopes in ROLE_SCOPES.items() if scope in scopes]
    rows = Membership.objects.filter(user_id=principal.user_id, role__in=roles)
    return list(rows.order_by("team__name").values_list("team__name", flat=True))


def deny(scope: Scope, where: str) -> NoReturn:
    """Raise the error for a caller who may see, but not do this."""
    raise PermissionDenied(
        f"This needs the scope {scope.value!r} in {where!r}, which your role or your token does not give.",
        hint="Ask an admin of the team, or use a token with that scope.",
        facts={"scope": scope.value},
    )


def require_superuser(principal: Principal) -> None:
    """Raise :class:`PermissionDenied` unless the caller administers the whole server, with a token that may."""
    if not (principal.is_superuser and principal.may(Scope.ADMIN)):
        raise PermissionDenied(
            "Only a superuser with the scope 'admin' may do this.", hint="Ask the operators of this server."
        )


def default_scopes(user: User) -> frozenset[Scope]:
    """The most that a token of this user may be given: everything for people but ``worker``; ``admin`` for admins."""
    administers = user.is_superuser or Membership.objects.filter(user=user, role=TeamRole.ADMIN).exists()
    return frozenset(Scope) - {Scope.WORKER} - (frozenset() if administers else {Scope.ADMIN})


def visible_teams(*, principal: Principal) -> QuerySet[Team]:
    """The teams that the caller is a member of; all of them for superusers."""
    if principal.is_superuser:
        return Team.objects.all()
    return Team.objects.filter(pk__in=member_team_ids(principal=principal))


def memberships_of(*, principal: Principal) -> list[Membership]:
    """The caller's roles, with their teams."""
    if principal.user_id is None:
        return []
    rows = Membership.objects.filter(user_id=principal.user_id).select_related("team")
    return list(rows.order_by("team__name"))


def own_tokens(*, principal: Principal) -> QuerySet[Token]:
    """The caller's tokens that were not revoked."""
    if principal.user_id is None:
        return Token.objects.none()
    return Token.objects.filter(user_id=principal.user_id, revoked_at=None)


def token_for(*, principal: Principal, token_id: UUID) -> Token:
    """One of the caller's tokens (superusers: anybody's); raises :class:`NotFound` otherwise."""
    rows = Token.objects.select_related("user").filter(pk=token_id)
    if not (principal.is_superuser and principal.may(Scope.ADMIN)):
        rows = rows.filter(user_id=principal.user_id) if principal.user_id else rows.none()
    token = rows.first()
    if token is None:
        raise NotFound(f"You have no token {token_id}.", hint="See GET /api/v1/tokens.")
    return token
