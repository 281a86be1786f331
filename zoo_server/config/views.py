"""Routes of the server itself: health, readiness, the API's root and documentation, and errors outside DRF's reach."""

from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from zoo_sdk import __version__
from zoo_sdk.errors import Unavailable
from zoo_server.rest.permissions import PUBLIC
from zoo_server.rest.problems import problem_body

API_VERSION = 1
READINESS_SECONDS = 2
"""How long a part may take to answer before the server calls itself not ready."""


class Health(APIView):
    """The process answers."""

    scopes = {"GET": PUBLIC}
    authentication_classes = ()

    @extend_schema(operation_id="healthz", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        return Response({"status": "alive"})


class Readiness(APIView):
    """Database and broker answer; 503 names the parts that do not."""

    scopes = {"GET": PUBLIC}
    authentication_classes = ()

    @extend_schema(operation_id="readyz", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        faults = {name: fault for name, probe in PROBES.items() if (fault := _fault(probe))}
        if faults:
            raise Unavailable(
                f"Not ready: {', '.join(f'{name} ({fault})' for name, fault in faults.items())}.",
                hint="Start these parts; the server goes on by itself when they are back.",
                facts={"parts": sorted(faults)},
            )
        return Response({"status": "ready", "parts": sorted(PROBES)})


class ServiceRoot(APIView):
    """What this server is, for clients that look before they sign in."""

    scopes = {"GET": PUBLIC}

    @extend_schema(operation_id="root", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "name": "zoo",
                "version": __version__,
                "api": API_VERSION,
                "mlflow_url": settings.ZOO_MLFLOW_TRACKING_URI,
            }
        )


class OpenApiDocument(SpectacularAPIView):
    """The OpenAPI document of this API."""

    scopes = {"GET": PUBLIC}


class Documentation(SpectacularSwaggerView):
    """The API's documentation as a page."""

    scopes = {"GET": PUBLIC}


def probe_database() -> None:
    """Raise unless PostgreSQL answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def probe_broker() -> None:
    """Raise unless the broker accepts a connection."""
    with current_app.connection_for_write(
        connect_timeout=READINESS_SECONDS, transport_options={"socket_timeout": READINESS_SECONDS}
    ) as broker:
        broker.ensure_connection(max_retries=0, timeout=READINESS_SECONDS)


PROBES = {"database": probe_database, "broker": probe_broker}


def _fault(probe: Any) -> str | None:
    try:
        probe()
    except Exception as error:  # noqa: BLE001  whatever it is, the part is not ready
        return type(error).__name__
    return None


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A problem document below ``/api``, a page elsewhere."""
    if not request.path.startswith("/api/"):
        return defaults.page_not_found(request, exception)
    return _problem(404, "not-found", f"There is no route {request.path[:200]}.", hint="See /api/docs.")


def server_error(request: HttpRequest) -> HttpResponse:
    """A problem document below ``/api``, a page elsewhere.  The traceback is in the server's log."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    return _problem(500, "internal-error", "The server failed; its log says why.", hint="Report it to the operators.")


def _problem(status: int, code: str, detail: str, *, hint: str) -> JsonResponse:
    body = problem_body(status, code, detail, hint=hint)
    return JsonResponse(body, status=status, content_type="application/problem+json")
