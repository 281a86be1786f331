"""Errors as ``application/problem+json`` (RFC 9457): type, title, status, detail, and a ``hint`` of what to do."""

import logging
from collections.abc import Iterator
from http import HTTPStatus
from math import ceil
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from pydantic import ValidationError as PydanticError
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from zoo_sdk import errors

LOG = logging.getLogger(__name__)


class Gone(errors.ZooError):
    """It existed and was withdrawn."""

    code = "gone"


class TooManyAttempts(exceptions.Throttled):
    """Too many wrong passwords or tokens; ``seconds``: until the next attempt is looked at."""

    def __init__(self, seconds: float, why: str) -> None:
        self.seconds = ceil(seconds)
        super().__init__(wait=seconds, detail=why)


class TooLarge(errors.ZooError):
    """More bytes than the limit or the space left."""

    code = "too-large"


class InsufficientStorage(errors.ZooError):
    """The disk or the quota is full."""

    code = "insufficient-storage"


def body_too_large() -> TooLarge:
    """The error for a JSON body above the limit, whoever noticed first: Django or our parser."""
    return TooLarge(
        f"The JSON body is larger than the limit of {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.",
        hint="Bytes of files go through /uploads.",
    )


STATUS: dict[type, int] = {
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.PermissionDenied: 403,
    errors.Conflict: 409,
    errors.Unavailable: 503,
    errors.OperationError: 422,
    Gone: 410,
    TooLarge: 413,
    InsufficientStorage: 507,
}


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problem documents."""

    media_type = "application/problem+json"


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:  # noqa: ARG001  DRF's signature
    """DRF's exception handler: any error of ours or of DRF becomes a problem document; others stay a 500."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, DjangoPermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        error = body_too_large()
    if isinstance(error, errors.ZooError):
        return _response(_of_zoo_error(error), {})
    if isinstance(error, PydanticError):
        return _response(_of_pydantic(error), {})
    if isinstance(error, exceptions.APIException):
        headers = {}
        if getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
        if getattr(error, "wait", None):
            headers["Retry-After"] = str(ceil(error.wait))  # type: ignore[attr-defined]
        return _response(_of_drf(error), headers)
    return None


def _response(problem: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(problem, status=problem["status"], headers=headers, content_type=ProblemRenderer.media_type)


def problem_body(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of a problem document."""
    title = HTTPStatus(status).phrase
    return {"type": f"urn:zoo:problem:{code}", "title": title, "status": status, "code": code, "detail": detail, **more}


def status_of(error: errors.ZooError) -> int:
    """The HTTP status of an error of ours: that of its nearest listed class."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def _of_zoo_error(error: errors.ZooError) -> dict[str, Any]:
    status = status_of(error)
    more: dict[str, Any] = {"retryable": error.retryable}
    if error.hint:
        more["hint"] = error.hint
    facts = dict(error.facts)
    fields = facts.pop("errors", None)  # one place for wrong fields, whoever found them
    if fields:
        more["errors"] = fields
    if facts:
        more["facts"] = facts
    return problem_body(status, error.code, error.detail, **more)


def _of_pydantic(error: PydanticError) -> dict[str, Any]:
    fields = [
        {
            "field": ".".join(str(part) for part in item["loc"]),
            "message": item["msg"],
            "value": _shown(item.get("input")),
        }
        for item in error.errors(include_url=False, include_context=False)
    ]
    detail = "; ".join(f"{item['field'] or 'body'}: {item['message']}" for item in fields[:5])
    return problem_body(422, "invalid-input", detail, errors=fields)


def _shown(value: Any) -> Any:
    """A value short enough to be shown again."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value[:200] if isinstance(value, str) else value
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _of_drf(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        fields = list(_field_errors(error.detail, ""))
        detail = "; ".join(f"{item['field'] or 'body'}: {item['message']}" for item in fields[:5])
        return problem_body(422, "invalid-input", detail, errors=fields)
    codes = {401: "not-authenticated", 403: "permission-denied", 404: "not-found", 405: "method-not-allowed"}
    code = codes.get(error.status_code, str(error.get_codes()).replace("_", "-"))
    return problem_body(error.status_code, code, str(error.detail))


def _field_errors(detail: Any, field: str) -> Iterator[dict[str, str]]:
    """Flatten DRF's nested error detail to one entry per message, with a dotted field name."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            path = field if name == "non_field_errors" else f"{field}.{name}".lstrip(".")
            yield from _field_errors(inner, path)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _field_errors(inner, f"{field}.{index}".lstrip(".") if nested else field)
    else:
        yield {"field": field, "message": str(detail)}
