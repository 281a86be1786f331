"""The base of the catalogue's routes: models and data sets share every view, told apart by ``kind``."""

from typing import Any, ClassVar, TypeVar

from drf_spectacular.openapi import AutoSchema
from pydantic import BaseModel
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import RepositoryKind, Scope
from zoo_server.catalog.api.bodies import parsed
from zoo_server.catalog.descriptions import UNSTORABLE
from zoo_server.catalog.models import Repository, Version
from zoo_server.catalog.selectors import get_repository, version_of
from zoo_server.rest.principals import principal_of

BodyT = TypeVar("BodyT", bound=BaseModel)


class CatalogSchema(AutoSchema):
    """Names operations after the kind and what the view does, such as ``models_list``."""

    def get_operation_id(self) -> str:
        kind = getattr(self.view, "kind", None)
        name: str = getattr(self.view, "operations", {})[self.method]
        return f"{kind.value}s_{name}" if kind else name

    def get_tags(self) -> list[str]:
        kind = getattr(self.view, "kind", None)
        return [f"{kind.value}s" if kind else "catalogue"]


class JsonNegotiation(DefaultContentNegotiation):
    """Leaves ``?format=`` to the routes, where it is a filter; DRF would take it for a renderer's name."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:  # noqa: A002  DRF's signature
        return renderers


class CatalogView(APIView):
    """A route of the catalogue.  ``operations`` names what each method does, for the OpenAPI document."""

    schema = CatalogSchema()
    content_negotiation_class = JsonNegotiation
    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.READ}
    operations: ClassVar[dict[str, str]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Text that cannot be in the database is not found there."""
        super().initial(request, *args, **kwargs)
        for value in kwargs.values():
            if UNSTORABLE.search(value):
                raise NotFound("The address holds a character that no name has.")


class KindView(CatalogView):
    """A route that exists once below ``models`` and once below ``datasets``."""

    kind: RepositoryKind = RepositoryKind.MODEL

    def repository(self) -> Repository:
        """The repository in the address, if the caller may see it."""
        team, name = self.kwargs["team"], self.kwargs["name"]
        return get_repository(principal=principal_of(self.request), kind=self.kind, team=team, name=name)

    def version(self) -> Version:
        """The version in the address, by number or alias, if the caller may see it."""
        return version_of(
            principal=principal_of(self.request), repository=self.repository(), selector=self.kwargs["ref"]
        )

    def body(self, model: type[BodyT]) -> BodyT:
        """The request's body, checked."""
        return parsed(model, self.request.data)


def answer(content: BaseModel, status: int = 200) -> Response:
    """A response with ``content`` as JSON."""
    return Response(content.model_dump(mode="json"), status=status)
