"""Changing accounts: users, teams, memberships and tokens.  Every change is recorded in the audit log."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from zoo_sdk.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, Token, User
from zoo_server.accounts.permissions import default_scopes, require_superuser
from zoo_server.accounts.selectors import TOKEN_PREFIX, token_digest
from zoo_server.accounts.throttling import forget_wrong_passwords, note_wrong_password, refuse_guesses
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal

TOKEN_BYTES = 32
"""Random bytes of a secret: 43 characters in URL-safe base64."""
HINT_LENGTH = 10
LOGIN_LIFETIME_DAYS = 90


class WrongCredentials(PermissionDenied):
    """No such user, or another password."""

    code = "wrong-credentials"


def create_user(*, principal: Principal, username: str, password: str | None = None, is_service: bool = False) -> User:
    """A new person or service, by a superuser; without a password only tokens let it in.

    Raises:
        PermissionDenied: the caller is no superuser, or the token lacks ``admin``.
        Conflict: the name is taken.
        InvalidInput: the password is too weak.

    """
    require_superuser(principal)
    user = User(username=username, is_service=is_service)
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise InvalidInput(" ".join(error.messages), facts={"field": "password"}) from error
    user.set_password(password)
    with transaction.atomic():
        if User.objects.filter(username=username).exists():
            raise Conflict(f"There is a user {username!r} already.", facts={"field": "username"})
        user.save(force_insert=True)
        record_event(actor=principal, action="user.created", subject=user, details={"is_service": is_service})
    return user


def create_team(*, principal: Principal, name: str, title: str = "") -> Team:
    """A new team, by a superuser, who becomes its admin.

    Raises:
        PermissionDenied: the caller is no superuser, or the token lacks ``admin``.
        Conflict: the name is taken.

    """
    require_superuser(principal)
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name, title=title)
            if principal.user_id is not None:
                Membership.objects.create(team=team, user_id=principal.user_id, role=TeamRole.ADMIN)
            record_event(actor=principal, action="team.created", subject=team, team=name, details={"title": title})
    except IntegrityError as error:
        raise Conflict(f"There is a team {name!r} already.", facts={"field": "name"}) from error
    return team


def update_team(*, principal: Principal, team: Team, title: str) -> Team:
    """Give the team another title.  The caller has checked ``admin`` in the team."""
    with transaction.atomic():
        former, team.title = team.title, title
        team.save(update_fields=["title"])
        details = {"from": former, "to": title}
        record_event(actor=principal, action="team.updated", subject=team, team=team.name, details=details)
    return team


def set_member(*, principal: Principal, team: Team, username: str, role: TeamRole) -> Membership:
    """Make a user a member with that role, or change the role.  The caller has checked ``admin`` in the team.

    Raises:
        NotFound: there is no such user, or it is a service account of another team.
        Conflict: the team would be left without an admin.

    """
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        user = User.objects.filter(Q(home=None) | Q(home=team), username=username).first()
        if user is None:
            raise NotFound(f"There is no user {username!r}.", hint="A superuser can make one: POST /api/v1/users.")
        membership = Membership.objects.filter(team=team, user=user).first()
        former = membership.role if membership else None
        if membership is None:
            membership = Membership.objects.create(team=team, user=user, role=role)
        elif former != role:
            membership.role = role
            membership.save(update_fields=["role"])
        _require_an_admin(team)
        if former != role:
            details = {"username": username, "from": former, "to": role.value}
            record_event(actor=principal, action="member.set", subject=team, team=team.name, details=details)
    return membership


def remove_member(*, principal: Principal, team: Team, username: str) -> None:
    """End a membership.  The caller has checked ``admin`` in the team.

    Raises:
        NotFound: the user is no member.
        Conflict: the team would be left without an admin.

    """
    with transaction.atomic():
        Team.objects.select_for_update().get(pk=team.pk)
        membership = Membership.objects.filter(team=team, user__username=username).first()
        if membership is None:
            raise NotFound(f"{username!r} is no member of {team.name!r}.")
        details = {"username": username, "role": membership.role}
        membership.delete()
        _require_an_admin(team)
        record_event(actor=principal, action="member.removed", subject=team, team=team.name, details=details)


def create_token(
    *, principal: Principal, name: str, scopes: Iterable[Scope], expires_in_days: int | None = None
) -> tuple[Token, str]:
    """A new token of the caller and its secret, which is told this once.

    It never reaches further than its maker: no other scopes, and no longer life than the token that made it.

    Raises:
        PermissionDenied: nobody asks, or a scope is asked for that the caller does not hold.

    """
    wanted = sorted(set(scopes))
    user = User.objects.filter(pk=principal.user_id).first() if principal.user_id else None
    if user is None:
        raise PermissionDenied("Tokens belong to users, and the caller is nobody.", hint="Sign in first.")
    require_scopes(principal, wanted)
    expires_at = end_of_token(principal, expires_in_days)
    return issue_token(actor=principal, user=user, name=name, scopes=wanted, expires_at=expires_at)


def require_scopes(principal: Principal, wanted: Iterable[Scope]) -> None:
    """Raise :class:`PermissionDenied` unless the caller holds all that a token of its making shall get."""
    excess = [scope.value for scope in wanted if not principal.may(scope)]
    if excess:
        raise PermissionDenied(
            f"You do not hold {', '.join(excess)}, so the token cannot get it.",
            hint="See `zoo whoami` for your scopes.",
            facts={"scopes": excess},
        )


def end_of_token(principal: Principal, days: int | None) -> datetime | None:
    """When a token ends that the caller makes now: after ``days``, and not after the token that makes it."""
    expires_at = timezone.now() + timedelta(days=days) if days else None
    maker = Token.objects.filter(pk=principal.token_id).first() if principal.token_id else None
    if maker and maker.expires_at:
        return min(expires_at, maker.expires_at) if expires_at else maker.expires_at
    return expires_at


def issue_token(
    *, actor: Principal, user: User, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> tuple[Token, str]:
    """Make a token for ``user`` without asking whether ``actor`` may: for signing in and for the first start."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        token = Token.objects.create(
            user=user,
            name=name,
            digest=token_digest(secret),
            hint=secret[:HINT_LENGTH],
            scopes=[scope.value for scope in scopes],
            expires_at=expires_at,
        )
        details = {
            "username": user.username,
            "scopes": token.scopes,
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        record_event(actor=actor, action="token.created", subject=token, details=details)
    return token, secret


def revoke_token(*, principal: Principal, token: Token) -> None:
    """End a token at once.  Idempotent.  The caller has found it with ``token_for``."""
    with transaction.atomic():
        if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            details = {"username": token.user.username}
            record_event(actor=principal, action="token.revoked", subject=token, details=details)


def log_in(
    *,
    principal: Principal,
    credentials: tuple[str, str],
    name: str = "login",
    scopes: Iterable[Scope] | None = None,
    expires_in_days: int = LOGIN_LIFETIME_DAYS,
) -> tuple[Token, str]:
    """Exchange ``(username, password)`` for a token; ``principal`` is the anonymous caller with its address.

    Without ``scopes`` the token gets all that the user's roles may need.

    Raises:
        WrongCredentials: wrong name or password (not told which).
        TooManyAttempts: too many wrong ones before; also the right password is refused then.
        PermissionDenied: a scope that the user cannot have.

    """
    username, password = credentials
    refuse_guesses(username=username, address=principal.address)
    user = ModelBackend().authenticate(None, username=username, password=password)
    if not isinstance(user, User):
        note_wrong_password(username=username, address=principal.address)
        raise WrongCredentials(
            "The user name or the password is wrong.",
            hint="With a token, send it as `Authorization: Bearer zoo_...` instead (`zoo login --token`).",
        )
    forget_wrong_passwords(username=username, address=principal.address)
    allowed = default_scopes(user)
    wanted = allowed if scopes is None else frozenset(scopes)
    if not wanted <= allowed:
        excess = sorted(scope.value for scope in wanted - allowed)
        raise PermissionDenied(f"{username!r} cannot have {', '.join(excess)}.", facts={"scopes": excess})
    actor = Principal(name=user.username, user_id=user.pk, address=principal.address)
    expires_at = timezone.now() + timedelta(days=expires_in_days)
    return issue_token(actor=actor, user=user, name=name, scopes=sorted(wanted), expires_at=expires_at)


def _require_an_admin(team: Team) -> None:
    if not Membership.objects.filter(team=team, role=TeamRole.ADMIN).exists():
        raise Conflict(f"{team.name!r} would be left without an admin.", hint="Make somebody else admin first.")
