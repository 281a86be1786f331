"""Routes of versions and their states."""

from collections.abc import Callable
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import Scope
from zoo_server.catalog import selectors, services
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.bodies import HolderQuery, StateComment, VersionChange, VersionDescription, VersionQuery
from zoo_server.catalog.api.routes import CatalogView, KindView, answer
from zoo_server.catalog.models import Version
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated


class VersionList(KindView):
    """The versions of a repository."""

    scopes = {"GET": Scope.READ, "POST": Scope.ADD}
    operations = {"GET": "list_versions", "POST": "create_version"}

    @extend_schema(parameters=[VersionQuery], responses=answers.page_of(answers.VersionAnswer))
    def get(self, request: Request, **_: str) -> Response:
        """List them, highest number first.  Drafts are shown to members of the team."""
        query = validated(VersionQuery, request.query_params)
        page = selectors.list_versions(principal=principal_of(request), repository=self.repository(), **query)
        return Response(presentation.page_answer(page, presentation.describe_version))

    @extend_schema(request=VersionDescription, responses={201: answers.VersionAnswer})
    def post(self, request: Request, **_: str) -> Response:
        """Make a draft."""
        repository = self.repository()
        body = self.body(VersionDescription)
        made = services.create_version(
            principal=principal_of(request), repository=repository, notes=body.notes, dataset=body.dataset
        )
        return version_answer(request, made, 201)


class VersionDetail(KindView):
    """One version."""

    scopes = {"GET": Scope.READ, "PATCH": Scope.ADD, "DELETE": Scope.ADD}
    operations = {"GET": "get_version", "PATCH": "update_version", "DELETE": "delete_version"}

    @extend_schema(responses=answers.VersionAnswer)
    def get(self, request: Request, **_: str) -> Response:
        """Describe it.  A withdrawn version keeps its description and history."""
        return version_answer(request, self.version())

    @extend_schema(request=VersionChange, responses=answers.VersionAnswer)
    def patch(self, request: Request, **_: str) -> Response:
        """Change a draft's notes or data set description."""
        version = self.version()
        body = self.body(VersionChange)
        notes = body.notes if "notes" in body.model_fields_set else None
        changed = services.update_version(
            principal=principal_of(request), version=version, notes=notes, dataset=body.dataset
        )
        return version_answer(request, changed)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, **_: str) -> Response:
        """Delete a draft."""
        services.delete_version(principal=principal_of(request), version=self.version())
        return Response(status=204)


class _StateChange(KindView):
    """A step in a version's life."""

    change: ClassVar[Callable[..., Version]]

    @extend_schema(request=StateComment, responses=answers.VersionAnswer)
    def post(self, request: Request, **_: str) -> Response:
        version = self.version()
        comment = self.body(StateComment).comment
        changed = type(self).change(principal=principal_of(request), version=version, comment=comment)
        return version_answer(request, changed)


class Seal(_StateChange):
    """Fix a draft for ever: it becomes a candidate."""

    scopes = {"POST": Scope.ADD}
    operations = {"POST": "seal_version"}
    change = staticmethod(services.seal_version)


class Approve(_StateChange):
    """Approve a candidate, or a deprecated version again."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "approve_version"}
    change = staticmethod(services.approve_version)


class Deprecate(_StateChange):
    """Deprecate an approved version: still served, no longer recommended."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "deprecate_version"}
    change = staticmethod(services.deprecate_version)


class Withdraw(_StateChange):
    """Withdraw a sealed version: its files answer 410, its history stays."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "withdraw_version"}
    change = staticmethod(services.withdraw_version)


class Holders(CatalogView):
    """Which versions hold these bytes?"""

    operations = {"GET": "versions_with_digest"}

    @extend_schema(parameters=[HolderQuery], responses=answers.page_of(answers.HolderAnswer))
    def get(self, request: Request) -> Response:
        """List the versions, of models and data sets, that hold a file with this digest; newest first."""
        query = validated(HolderQuery, request.query_params)
        page = selectors.versions_with_digest(principal=principal_of(request), **query)
        return Response(presentation.page_answer(page, presentation.describe_holder))


class MetricDefinitions(CatalogView):
    """The registry of metrics."""

    operations = {"GET": "metric_definitions"}

    @extend_schema(responses=answers.MeasuresAnswer)
    def get(self, request: Request) -> Response:
        """List names, units and directions."""
        found = [answers.MeasureAnswer(**measure.model_dump()) for measure in MEASURES.values()]
        return answer(answers.MeasuresAnswer(results=found))


def version_answer(request: Request, version: Version, status: int = 200) -> Response:
    """A version with all that belongs to it, as it is now."""
    details = selectors.get_version_details(principal=principal_of(request), version=version)
    return answer(presentation.describe_version(details), status)
