"""Routes of storage use: what a team takes, and how much it may."""

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import require_superuser, team_for
from zoo_server.artifacts.quotas import LOGICAL, PHYSICAL, Use, set_quota, use_of
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.routes import CatalogView, answer
from zoo_server.catalog.selectors.usage import largest_repositories
from zoo_server.rest.principals import principal_of

MOST = 2**60


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quota(_Body):
    """Bytes, or null for no limit."""

    physical: int | None = Field(ge=0, le=MOST)
    logical: int | None = Field(ge=0, le=MOST)


class UseAnswer(_Body):
    """Bytes; ``reserved`` by open uploads; ``quota`` null: no limit."""

    used: int
    reserved: int
    quota: int | None


class RepositoryUseAnswer(_Body):
    """Versions and bytes of a model or data set; ``restorable``: of deleted versions, free when their time is over."""

    name: str
    kind: str
    versions: int
    size: int
    restorable: int


class UsageAnswer(_Body):
    """``physical``: the bytes that the team possesses, each once.  ``logical``: the bytes of its versions."""

    team: str
    physical: UseAnswer
    logical: UseAnswer
    largest: list[RepositoryUseAnswer]


class UsageView(CatalogView):
    """What a team takes."""

    operations = {"GET": "team_usage"}

    @extend_schema(responses=UsageAnswer)
    def get(self, request: Request, team: str) -> Response:
        """Tell its members, with the 50 models and data sets that take most."""
        return _usage(team_for(principal=principal_of(request), name=team, scope=Scope.READ))


class QuotaView(CatalogView):
    """How much a team may take."""

    scopes = {"PUT": Scope.ADMIN}
    operations = {"PUT": "set_quota"}

    @extend_schema(request=Quota, responses=UsageAnswer)
    def put(self, request: Request, team: str) -> Response:
        """Set both limits; superusers only."""
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.READ)
        require_superuser(principal)
        quota = parsed(Quota, request.data)
        set_quota(principal=principal, team=found, physical=quota.physical, logical=quota.logical)
        return _usage(found)


def _usage(team: Team) -> Response:
    use = use_of(team)
    largest = [
        RepositoryUseAnswer(
            name=row.name, kind=row.kind, versions=row.versions, size=row.size, restorable=row.restorable
        )
        for row in largest_repositories(team)
    ]
    return answer(
        UsageAnswer(team=team.name, physical=_told(use[PHYSICAL]), logical=_told(use[LOGICAL]), largest=largest)
    )


def _told(use: Use) -> UseAnswer:
    return UseAnswer(used=use.used, reserved=use.reserved, quota=use.quota)
