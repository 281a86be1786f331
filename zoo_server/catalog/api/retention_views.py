"""Routes of retention policies: which one a team has, and what one would do."""

from datetime import datetime

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import team_for
from zoo_server.catalog import services
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.api.routes import CatalogView, answer
from zoo_server.catalog.models import RetentionPolicy
from zoo_server.catalog.retention.document import MAX_BYTES, read_policy
from zoo_server.catalog.retention.planning import Verdict, plan_retention
from zoo_server.rest.principals import principal_of


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewRetention(_Body):
    """A policy as YAML text; ``file`` is the name that errors show."""

    policy: str = Field(max_length=MAX_BYTES)
    file: str = Field("retention.yaml", max_length=200)


class RetentionAnswer(_Body):
    """A team's policy."""

    team: str
    policy: str
    updated_by: str
    updated_at: datetime


class PreviewRequest(_Body):
    """``policy``: one to try; default the team's own.  The cursor is the ``next`` of the former page."""

    policy: str | None = Field(None, max_length=MAX_BYTES)
    file: str = Field("retention.yaml", max_length=200)
    limit: int = Field(200, ge=1, le=1000)
    cursor: int = Field(0, ge=0)


class VerdictAnswer(_Body):
    """Whether a version would go, and why or why not."""

    reference: str
    kind: str
    state: str
    size: int
    sealed_at: datetime | None
    goes: bool
    reason: str


class PreviewAnswer(_Body):
    """What would go first, then what stays; ``size``: bytes of what would go, as its versions count them."""

    team: str
    goes: int
    stays: int
    size: int
    results: list[VerdictAnswer]
    next: int | None


class RetentionView(CatalogView):
    """The retention policy of a team."""

    scopes = {"GET": Scope.READ, "PUT": Scope.ADMIN, "DELETE": Scope.ADMIN}
    operations = {"GET": "get_retention", "PUT": "set_retention", "DELETE": "remove_retention"}

    @extend_schema(responses=RetentionAnswer)
    def get(self, request: Request, team: str) -> Response:
        """Show it, to members."""
        return answer(_told(_policy_of(team_for(principal=principal_of(request), name=team, scope=Scope.READ))))

    @extend_schema(request=NewRetention, responses=RetentionAnswer)
    def put(self, request: Request, team: str) -> Response:
        """Set it; 422 `invalid-policy` lists every mistake."""
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.ADMIN)
        body = parsed(NewRetention, request.data)
        services.set_retention(principal=principal, team=found, text=body.policy, file=body.file)
        return answer(_told(_policy_of(found)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, team: str) -> Response:
        """Remove it: everything is kept."""
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.ADMIN)
        services.remove_retention(principal=principal, team=found)
        return Response(status=204)


class RetentionPreview(CatalogView):
    """What a policy would do."""

    scopes = {"POST": Scope.READ}
    operations = {"POST": "preview_retention"}

    @extend_schema(request=PreviewRequest, responses=PreviewAnswer)
    def post(self, request: Request, team: str) -> Response:
        """Tell it, to members; nothing is changed."""
        principal = principal_of(request)
        found = team_for(principal=principal, name=team, scope=Scope.READ)
        body = parsed(PreviewRequest, request.data)
        text = _policy_of(found).text if body.policy is None else body.policy
        verdicts = plan_retention(principal=principal, team=found, policy=read_policy(text, file=body.file))
        going = [verdict.version.size for verdict in verdicts if verdict.goes]
        end = body.cursor + body.limit
        return answer(
            PreviewAnswer(
                team=found.name,
                goes=len(going),
                stays=len(verdicts) - len(going),
                size=sum(going),
                results=[_verdict(verdict) for verdict in verdicts[body.cursor : end]],
                next=end if end < len(verdicts) else None,
            )
        )


def _policy_of(team: Team) -> RetentionPolicy:
    policy = RetentionPolicy.objects.select_related("team", "updated_by").filter(team=team).first()
    if policy is None:
        raise NotFound(
            f"The team {team.name!r} has no retention policy: everything is kept.",
            hint="An admin of the team sets one: `zoo team retention set TEAM FILE`.",
        )
    return policy


def _told(policy: RetentionPolicy) -> RetentionAnswer:
    return RetentionAnswer(
        team=policy.team.name,
        policy=policy.text,
        updated_by=policy.updated_by.username if policy.updated_by else "system",
        updated_at=policy.updated_at,
    )


def _verdict(verdict: Verdict) -> VerdictAnswer:
    version = verdict.version
    return VerdictAnswer(
        reference=str(version),
        kind=version.repository.kind,
        state=version.state,
        size=version.size,
        sealed_at=version.sealed_at,
        goes=verdict.goes,
        reason=verdict.reason,
    )
