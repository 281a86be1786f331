"""Service accounts: users without a password that belong to a team, whose admins make and end them and their tokens."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from zoo_sdk.errors import Conflict, NotFound, PermissionDenied
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, Token, User
from zoo_server.accounts.permissions import team_scopes
from zoo_server.accounts.services import end_of_token, issue_token, require_scopes
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal


def username_of(team: Team, name: str) -> str:
    """The user name of a team's service account.  Neither part may hold an ``@``, so no two are the same."""
    return f"{name}@{team.name}"


def create_service(*, principal: Principal, team: Team, name: str, role: TeamRole) -> Membership:
    """A service account of the team with that role.  The caller has checked ``admin`` in the team.

    One that was deleted comes back under its old name, without its old tokens.

    Raises:
        Conflict: the team has it already, or a user has its name.

    """
    username = username_of(team, name)
    with transaction.atomic():
        user = User.objects.select_for_update().filter(username=username).first()
        if user is not None and (user.is_active or user.home_id != team.pk):
            raise Conflict(f"There is a user {username!r} already.", facts={"field": "name"})
        if user is None:
            user = User(username=username, is_service=True, home=team)
            user.set_unusable_password()
        user.is_active = True
        user.save()
        membership = Membership.objects.create(team=team, user=user, role=role)
        details = {"username": username, "role": role.value}
        record_event(actor=principal, action="service.created", subject=user, team=team.name, details=details)
    return membership


def service_for(*, team: Team, name: str) -> Membership:
    """The team's service account of that name, with its role; raises :class:`NotFound` otherwise."""
    rows = Membership.objects.select_related("user", "team").filter(user__is_active=True, user__home=team, team=team)
    found = rows.filter(user__username=username_of(team, name)).first()
    if found is None:
        raise NotFound(
            f"The team {team.name!r} has no service account {name[:120]!r}.", hint=f"See `zoo services {team.name}`."
        )
    return found


def delete_service(*, principal: Principal, service: Membership) -> None:
    """End the account and its tokens at once; what it made keeps its name.  The caller has checked ``admin``."""
    user, team = service.user, service.team
    with transaction.atomic():
        ended = Token.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
        User.objects.filter(pk=user.pk).update(is_active=False)
        service.delete()
        details = {"username": user.username, "tokens": ended}
        record_event(actor=principal, action="service.deleted", subject=user, team=team.name, details=details)


def create_service_token(
    *, principal: Principal, service: Membership, name: str, scopes: Iterable[Scope], expires_in_days: int
) -> tuple[Token, str]:
    """A token of a service account and its secret, told this once.  The caller has checked ``admin`` in the team.

    Raises:
        PermissionDenied: a scope that the caller does not hold, or that the account's role does not give.

    """
    wanted = sorted(set(scopes))
    require_scopes(principal, wanted)
    everything = Principal(name=service.user.username, user_id=service.user_id, scopes=frozenset(Scope))
    excess = [scope.value for scope in wanted if scope not in team_scopes(principal=everything, team=service.team)]
    if excess:
        raise PermissionDenied(
            f"{service.user.username!r} is {service.role}, which does not give {', '.join(excess)}.",
            hint="Give the account another role: `zoo members set`.",
            facts={"scopes": excess},
        )
    expires_at = end_of_token(principal, expires_in_days)
    return issue_token(actor=principal, user=service.user, name=name, scopes=wanted, expires_at=expires_at)
