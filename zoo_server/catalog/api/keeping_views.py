"""Routes of deleting, restoring and pinning."""

from collections.abc import Callable
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.vocabulary import Scope
from zoo_server.catalog import selectors, services
from zoo_server.catalog.api import answers, presentation
from zoo_server.catalog.api.bodies import Reason
from zoo_server.catalog.api.routes import KindView, answer
from zoo_server.catalog.api.version_views import version_answer
from zoo_server.rest.principals import principal_of


class _VersionStep(KindView):
    """Something that is done to a version, with a reason."""

    scopes = {"POST": Scope.CURATE}
    step: ClassVar[Callable[..., Any]]

    @extend_schema(request=Reason, responses=answers.VersionAnswer)
    def post(self, request: Request, **_: str) -> Response:
        version = self.version()
        reason = self.body(Reason).reason
        type(self).step(principal=principal_of(request), version=version, reason=reason)
        return version_answer(request, version)


class DeleteVersion(_VersionStep):
    """Delete a sealed version: it can be restored for a while, and leaves a tombstone that keeps the lineage whole."""

    operations = {"POST": "discard_version"}
    step = staticmethod(services.discard_version)


class PinVersion(_VersionStep):
    """Keep a version: neither a person nor a retention policy deletes it while it is pinned."""

    scopes = {"POST": Scope.CURATE, "DELETE": Scope.CURATE}
    operations = {"POST": "pin_version", "DELETE": "unpin_version"}
    step = staticmethod(services.pin_version)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, **_: str) -> Response:
        """Keep it no longer."""
        services.unpin_version(principal=principal_of(request), version=self.version())
        return Response(status=204)


class RestoreVersion(KindView):
    """Take the deletion of a version back."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "restore_version"}

    @extend_schema(request=None, responses=answers.VersionAnswer)
    def post(self, request: Request, **_: str) -> Response:
        """Restore it; 409 when its time is over."""
        version = self.version()
        services.restore_version(principal=principal_of(request), version=version)
        return version_answer(request, version)


class DeleteRepository(KindView):
    """Delete a model or data set with all its versions."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "discard"}

    @extend_schema(request=Reason, responses=answers.RepositoryAnswer)
    def post(self, request: Request, **_: str) -> Response:
        """Delete it; 409 while a version of it is approved, pinned, in use, or has an alias."""
        repository = self.repository()
        reason = self.body(Reason).reason
        services.discard_repository(principal=principal_of(request), repository=repository, reason=reason)
        return answer(presentation.describe_repository(selectors.get_repository_details(repository)))


class RestoreRepository(KindView):
    """Take the deletion of a model or data set back."""

    scopes = {"POST": Scope.CURATE}
    operations = {"POST": "restore"}

    @extend_schema(request=None, responses=answers.RepositoryAnswer)
    def post(self, request: Request, **_: str) -> Response:
        """Restore it with the versions that were deleted with it; 409 when its time is over."""
        repository = self.repository()
        services.restore_repository(principal=principal_of(request), repository=repository)
        return answer(presentation.describe_repository(selectors.get_repository_details(repository)))
