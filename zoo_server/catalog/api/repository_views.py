"""Routes of repositories and their aliases."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.permissions import team_for
from zoo_server.catalog import selectors, services
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.bodies import AliasTarget, RepositoryChange, RepositoryCreation, RepositoryQuery
from zoo_server.catalog.api.routes import KindView, answer
from zoo_server.catalog.selectors import RepositoryFilter
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import PageQuery, validated


class RepositoryList(KindView):
    """The repositories that the caller may see."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADD}
    operations = {"GET": "list", "POST": "create"}

    @extend_schema(parameters=[RepositoryQuery], responses=answers.page_of(answers.RepositoryAnswer))
    def get(self, request: Request) -> Response:
        """List, filter, search and sort."""
        query = validated(RepositoryQuery, request.query_params)
        cursor, limit, sort = query.pop("cursor"), query.pop("limit"), query.pop("sort", None)
        wanted = RepositoryFilter(tags=tuple(query.pop("tag", ())), **query)
        page = selectors.list_repositories(
            principal=principal_of(request), kind=self.kind, wanted=wanted, sort=sort, cursor=cursor, limit=limit
        )
        return Response(presentation.page_answer(page, presentation.describe_repository))

    @extend_schema(request=RepositoryCreation, responses={201: answers.RepositoryAnswer})
    def post(self, request: Request) -> Response:
        """Make a repository."""
        body = self.body(RepositoryCreation)
        principal = principal_of(request)
        team = team_for(principal=principal, name=body.team, scope=Scope.ADD)
        fields: Any = body.model_dump(exclude={"team", "name"}, exclude_unset=True)
        made = services.create_repository(principal=principal, team=team, kind=self.kind, name=body.name, **fields)
        return answer(presentation.describe_repository(selectors.get_repository_details(made)), 201)


class RepositoryDetail(KindView):
    """One repository."""

    scopes = {"GET": Scope.READ, "PATCH": Scope.WRITE}
    operations = {"GET": "get", "PATCH": "update"}

    @extend_schema(responses=answers.RepositoryAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """Describe it."""
        return answer(presentation.describe_repository(selectors.get_repository_details(self.repository())))

    @extend_schema(request=RepositoryChange, responses=answers.RepositoryAnswer)
    def patch(self, request: Request, **_: str) -> Response:
        """Change the given fields; the others stay."""
        repository = self.repository()
        fields: Any = self.body(RepositoryChange).model_dump(exclude_unset=True)
        changed = services.update_repository(principal=principal_of(request), repository=repository, **fields)
        return answer(presentation.describe_repository(selectors.get_repository_details(changed)))


class AliasList(KindView):
    """The aliases of a repository."""

    operations = {"GET": "list_aliases"}

    @extend_schema(parameters=[PageQuery], responses=answers.page_of(answers.AliasAnswer))
    def get(self, request: Request, **_: str) -> Response:
        """List them by name."""
        repository = self.repository()
        page = selectors.list_aliases(repository=repository, **validated(PageQuery, request.query_params))
        return Response(presentation.page_answer(page, lambda alias: presentation.describe_alias(alias, repository)))


class AliasDetail(KindView):
    """One alias."""

    scopes = {"GET": Scope.READ, "PUT": Scope.CURATE, "DELETE": Scope.CURATE}
    operations = {"GET": "get_alias", "PUT": "set_alias", "DELETE": "remove_alias"}

    @extend_schema(responses=answers.AliasAnswer)
    def get(self, request: Request, alias: str, **_: str) -> Response:
        """Say where it points."""
        repository = self.repository()
        found = selectors.get_alias(repository=repository, name=alias)
        return answer(presentation.describe_alias(found, repository))

    @extend_schema(request=AliasTarget, responses=answers.AliasAnswer)
    def put(self, request: Request, alias: str, **_: str) -> Response:
        """Let it point to a version."""
        repository, principal = self.repository(), principal_of(request)
        number = str(self.body(AliasTarget).version)
        version = selectors.version_of(principal=principal, repository=repository, selector=number)
        moved = services.set_alias(principal=principal, version=version, name=alias)
        return answer(presentation.describe_alias(moved, repository))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, alias: str, **_: str) -> Response:
        """Remove it; its history stays."""
        services.remove_alias(principal=principal_of(request), repository=self.repository(), name=alias)
        return Response(status=204)


class AliasHistory(KindView):
    """Where an alias pointed before."""

    operations = {"GET": "alias_history"}

    @extend_schema(parameters=[PageQuery], responses=answers.page_of(answers.AliasMoveAnswer))
    def get(self, request: Request, alias: str, **_: str) -> Response:
        """List the moves, newest first."""
        query = validated(PageQuery, request.query_params)
        page = selectors.alias_history(repository=self.repository(), name=alias, **query)
        return Response(presentation.page_answer(page, presentation.describe_move))
