"""Who may do what: the one place that reads roles.

Everybody's rights are the scopes of the caller (of the token or the session) narrowed by the role in the team; a
superuser's reach into every team.  Selectors ask here what to show, services ask here before they act, and nothing else
looks at memberships.  What a caller may not see is looked up in the same queries as what does not exist, so neither the
answer nor the time that it takes tells them apart.
"""

from typing import NoReturn
from uuid import UUID

from django.db.models import Q, QuerySet

from zoo_sdk.errors import NotFound, PermissionDenied
from zoo_sdk.vocabulary import ROLE_SCOPES, Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, User
from zoo_server.rest.principals import Principal


def team_scopes(*, principal: Principal, team: Team) -> frozenset[Scope]:
    """What the caller may do inside ``team``: the token's scopes narrowed by the role there (not for superusers)."""
    if principal.is_superuser:
        return frozenset(scope for scope in Scope if principal.may(scope))
    if principal.user_id is None:
        return frozenset()
    role = Membership.objects.filter(team=team, user_id=principal.user_id).values_list("role", flat=True).first()
    return _scopes_of(principal, role)


def require_in_team(*, principal: Principal, team: Team, scope: Scope) -> None:
    """Check that the caller, who sees the object in question, holds ``scope`` in its team.

    Raises:
        PermissionDenied: the role or the token lacks it.

    """
    if scope not in team_scopes(principal=principal, team=team):
        deny(scope, team.name)


def team_for(*, principal: Principal, name: str, scope: Scope) -> Team:
    """The team of that name if the caller holds ``scope`` in it.

    Raises:
        NotFound: no such team, or the caller is no member (existence is not disclosed).
        PermissionDenied: a member, but the role or the token lacks the scope.

    """
    team, scopes = _team_and_scopes(principal, name)
    if team is None or not scopes:
        raise NotFound(f"There is no team {name!r} that you may see.", hint="See `zoo whoami` for your teams.")
    if scope not in scopes:
        deny(scope, team.name)
    return team


def of_own_teams(principal: Principal, field: str = "team") -> Q:
    """The condition on rows whose ``field`` is a team that the caller is a member of; of every team for superusers."""
    if principal.is_superuser:
        return ~Q(pk__in=[])  # true for every row, also beside an OR, which an empty Q is not
    if principal.user_id is None:
        return Q(pk__in=[])
    return Q(**{f"{field}__in": Membership.objects.filter(user_id=principal.user_id).values("team_id")})


def member_team_ids(*, principal: Principal) -> frozenset[UUID] | None:
    """The ids of the teams that the caller is a member of; None: a superuser sees into all of them."""
    if principal.is_superuser:
        return None
    if principal.user_id is None:
        return frozenset()
    return frozenset(Membership.objects.filter(user_id=principal.user_id).values_list("team_id", flat=True))


def visible_teams(*, principal: Principal) -> QuerySet[Team]:
    """The teams that the caller is a member of; all of them for superusers."""
    return Team.objects.filter(of_own_teams(principal, "pk"))


def own_teams_with(*, principal: Principal, scope: Scope) -> list[Team]:
    """The teams that the caller is a member of with a role (and a token) that gives ``scope``, by name."""
    if principal.user_id is None or not principal.may(scope):
        return []
    rows = Membership.objects.filter(user_id=principal.user_id, role__in=_roles_with(scope)).select_related("team")
    return [row.team for row in rows.order_by("team__name")]


def teams_with_scope(principal: Principal, scope: Scope) -> list[str] | None:
    """The names of the teams in which the caller holds ``scope``; None means every team (superusers)."""
    if principal.is_superuser:
        return None if principal.may(scope) else []
    return [team.name for team in own_teams_with(principal=principal, scope=scope)]


def deny(scope: Scope, where: str) -> NoReturn:
    """Raise the error for a caller who may see, but not do this."""
    raise PermissionDenied(
        f"This needs the scope {scope.value!r} in {where!r}, which your role or your token does not give.",
        hint="Ask an admin of the team, or use a token with that scope.",
        facts={"scope": scope.value},
    )


def require_superuser(principal: Principal) -> None:
    """Raise :class:`PermissionDenied` unless the caller administers the whole server, with a token that may."""
    if not administers_server(principal):
        raise PermissionDenied(
            "Only a superuser with the scope 'admin' may do this.", hint="Ask the operators of this server."
        )


def administers_server(principal: Principal) -> bool:
    """Whether the caller is a superuser with a token that may."""
    return principal.is_superuser and principal.may(Scope.ADMIN)


def default_scopes(user: User) -> frozenset[Scope]:
    """The most that a token of this user may be given: everything for people but ``worker``; ``admin`` for admins."""
    administers = user.is_superuser or Membership.objects.filter(user=user, role=TeamRole.ADMIN).exists()
    return frozenset(Scope) - {Scope.WORKER} - (frozenset() if administers else {Scope.ADMIN})


def _team_and_scopes(principal: Principal, name: str) -> tuple[Team | None, frozenset[Scope]]:
    """In one query, whether the team is missing or only not the caller's."""
    if principal.is_superuser:
        team = Team.objects.filter(name=name).first()
        return team, team_scopes(principal=principal, team=team) if team else frozenset()
    if principal.user_id is None:
        return None, frozenset()
    row = Membership.objects.select_related("team").filter(team__name=name, user_id=principal.user_id).first()
    return (row.team, _scopes_of(principal, row.role)) if row else (None, frozenset())


def _scopes_of(principal: Principal, role: str | None) -> frozenset[Scope]:
    if role is None:
        return frozenset()
    return frozenset(scope for scope in ROLE_SCOPES[TeamRole(role)] if principal.may(scope))


def _roles_with(scope: Scope) -> list[str]:
    return [role.value for role, scopes in ROLE_SCOPES.items() if scope in scopes]
