"""The first start of a server: an administrator, a team, and the tokens that everything else begins with."""

from dataclasses import dataclass

from django.db import connection, transaction

from zoo_sdk.vocabulary import Scope, TeamRole
from zoo_server.accounts.models import Membership, Team, User
from zoo_server.accounts.services import issue_token
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import SYSTEM

ADMIN_USER = "admin"
WORKER_USER = "worker"
TEAM = "zoo"
ADMIN_SCOPES = tuple(scope for scope in Scope if scope is not Scope.WORKER)
BOOTSTRAP_LOCK = 7090171525143203
"""Advisory lock: of two servers that start at once, one makes the accounts."""


@dataclass(frozen=True)
class Bootstrap:
    """What the first start made; secrets are None when they were made earlier, for they are told once only."""

    created: bool
    admin_user: str
    admin_token: str | None
    worker_token: str | None
    team: str


def bootstrap(*, new_admin_token: bool = False, new_worker_token: bool = False) -> Bootstrap:
    """Make what is missing, in one transaction.  Idempotent; fresh tokens on request."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [BOOTSTRAP_LOCK])
        admin, admin_is_new = _user(ADMIN_USER, is_superuser=True)
        worker, worker_is_new = _user(WORKER_USER, is_superuser=False)
        team_is_new = _team(admin)
        admin_token = worker_token = None
        if admin_is_new or new_admin_token:
            _, admin_token = issue_token(actor=SYSTEM, user=admin, name="administration", scopes=ADMIN_SCOPES)
        if worker_is_new or new_worker_token:
            _, worker_token = issue_token(actor=SYSTEM, user=worker, name="worker", scopes=[Scope.WORKER])
        return Bootstrap(
            created=admin_is_new or worker_is_new or team_is_new,
            admin_user=ADMIN_USER,
            admin_token=admin_token,
            worker_token=worker_token,
            team=TEAM,
        )


def _user(username: str, *, is_superuser: bool) -> tuple[User, bool]:
    user = User.objects.filter(username=username).first()
    if user is not None:
        return user, False
    user = User(username=username, is_superuser=is_superuser, is_staff=is_superuser, is_service=not is_superuser)
    user.set_unusable_password()
    user.save(force_insert=True)
    record_event(actor=SYSTEM, action="user.created", subject=user, details={"is_superuser": is_superuser})
    return user, True


def _team(admin: User) -> bool:
    team, is_new = Team.objects.get_or_create(name=TEAM)
    if is_new:
        Membership.objects.create(team=team, user=admin, role=TeamRole.ADMIN)
        record_event(actor=SYSTEM, action="team.created", subject=team, team=team.name)
    return is_new
