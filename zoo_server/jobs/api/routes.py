"""The base of this app's routes."""

from typing import Any, ClassVar, TypeVar

from drf_spectacular.openapi import AutoSchema
from pydantic import BaseModel
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import Scope

BodyT = TypeVar("BodyT", bound=BaseModel)
MAX_NESTING = 50


class JobsSchema(AutoSchema):
    """Names operations after what the view says that its methods do."""

    def get_operation_id(self) -> str:
        name: str = getattr(self.view, "operations", {})[self.method]
        return name

    def get_tags(self) -> list[str]:
        tag: str = getattr(self.view, "tag", "jobs")
        return [tag]


class JobsView(APIView):
    """A route of this app.  ``operations`` names what each method does, for the OpenAPI document."""

    schema = JobsSchema()
    scopes: ClassVar[dict[str, Scope]] = {"GET": Scope.READ}
    operations: ClassVar[dict[str, str]] = {}
    tag = "jobs"


class WorkerView(JobsView):
    """A route of the worker API."""

    scopes: ClassVar[dict[str, Scope]] = {"POST": Scope.WORKER}
    tag = "worker"


def parsed(model: type[BodyT], request: Request) -> BodyT:
    """The request's body as ``model``; pydantic's error becomes a 422 problem."""
    _check_depth(request.data, 0)
    return model.model_validate(request.data)


def answer(content: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with ``content`` as JSON."""
    return Response(content.model_dump(mode="json"), status=status, headers=headers)


def _check_depth(value: Any, depth: int) -> None:
    if depth > MAX_NESTING:
        raise InvalidInput(f"The body is nested deeper than {MAX_NESTING} levels.")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)
