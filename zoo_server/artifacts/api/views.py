"""Routes that bring bytes: resumable uploads.  Bodies are streamed, never held in memory."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.permissions import team_for
from zoo_server.artifacts.api.serializers import (
    ArrivedPartsSerializer,
    CompletionSerializer,
    NewUploadSerializer,
    OfferedPartsSerializer,
    PartsSerializer,
    UploadSerializer,
)
from zoo_server.artifacts.direct import arrived_parts, complete_direct_upload, offer_parts
from zoo_server.artifacts.models import Upload
from zoo_server.artifacts.s3_store import part_bytes
from zoo_server.artifacts.selectors import upload_for
from zoo_server.artifacts.services import Part, abort_upload, append_to_upload, complete_upload, open_upload
from zoo_server.rest.principals import principal_of
from zoo_server.rest.serializers import validated

PART_TYPE = "application/offset+octet-stream"
WRITER_OR_WORKER = (Scope.ADD, Scope.WORKER)
"""Members' uploads need ``add``; those of an attempt belong to its worker (see ``selectors.upload_for``)."""
OFFSET_HEADER = OpenApiParameter(
    "Upload-Offset", OpenApiTypes.INT64, OpenApiParameter.HEADER, response=True, description="Durable bytes."
)

PART_HEADERS = (
    OpenApiParameter(
        "Upload-Offset", OpenApiTypes.INT64, OpenApiParameter.HEADER, required=True, description="Where it begins."
    ),
    OpenApiParameter(
        "Upload-Checksum", OpenApiTypes.STR, OpenApiParameter.HEADER, description="`sha256 <base64>` of this part."
    ),
)


class LengthRequired(APIException):
    """A body whose end cannot be known."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "Send the part with a Content-Length, or chunked to a server that supports it."
    default_code = "length-required"


class UploadList(APIView):
    """Open an upload session."""

    scopes = {"POST": Scope.ADD}

    @extend_schema(
        operation_id="open_upload",
        request=NewUploadSerializer,
        responses={
            201: UploadSerializer,
            200: OpenApiResponse(UploadSerializer, description="The team holds these bytes: nothing to send."),
        },
    )
    def post(self, request: Request) -> Response:
        wanted = validated(NewUploadSerializer, request.data)
        principal = principal_of(request)
        team = team_for(principal=principal, name=wanted.pop("team"), scope=Scope.ADD)
        return opened_upload_response(open_upload(principal=principal, team=team, **wanted))


class UploadDetail(APIView):
    """One upload session: where it stands, its next part, its end."""

    scopes = {"GET": WRITER_OR_WORKER, "PATCH": WRITER_OR_WORKER, "DELETE": WRITER_OR_WORKER}

    @extend_schema(operation_id="get_upload", responses=UploadSerializer, parameters=[OFFSET_HEADER])
    def get(self, request: Request, upload_id: UUID) -> Response:
        return upload_response(upload_for(principal=principal_of(request), upload_id=upload_id))

    @extend_schema(
        operation_id="append_to_upload",
        request={PART_TYPE: OpenApiTypes.BINARY},
        responses={204: None},
        parameters=[OFFSET_HEADER, *PART_HEADERS],
    )
    def patch(self, request: Request, upload_id: UUID) -> Response:
        upload = append_to_upload(principal=principal_of(request), upload_id=upload_id, part=_part(request))
        return Response(status=status.HTTP_204_NO_CONTENT, headers=_headers(upload))

    @extend_schema(operation_id="abort_upload", responses={204: None})
    def delete(self, request: Request, upload_id: UUID) -> Response:
        abort_upload(principal=principal_of(request), upload_id=upload_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class UploadParts(APIView):
    """The parts of a direct upload: the client sends them to the bucket itself.  409 `not-direct` without one."""

    scopes = {"GET": WRITER_OR_WORKER, "POST": WRITER_OR_WORKER}

    @extend_schema(operation_id="arrived_parts", responses=ArrivedPartsSerializer)
    def get(self, request: Request, upload_id: UUID) -> Response:
        """Which parts the bucket has."""
        principal = principal_of(request)
        parts = arrived_parts(principal=principal, upload_id=upload_id)
        return Response(_parts_body(ArrivedPartsSerializer, request, upload_id, parts))

    @extend_schema(operation_id="offer_parts", request=PartsSerializer, responses=OfferedPartsSerializer)
    def post(self, request: Request, upload_id: UUID) -> Response:
        """Addresses to PUT parts to.  The service refuses bytes with another checksum."""
        wanted = validated(PartsSerializer, request.data)["parts"]
        checksums = {part["number"]: part["checksum"] for part in wanted}
        parts = offer_parts(principal=principal_of(request), upload_id=upload_id, checksums=checksums)
        return Response(_parts_body(OfferedPartsSerializer, request, upload_id, parts))


class UploadCompletion(APIView):
    """Check the whole digest and keep the bytes."""

    scopes = {"POST": WRITER_OR_WORKER}

    @extend_schema(operation_id="complete_upload", request=CompletionSerializer, responses=UploadSerializer)
    def post(self, request: Request, upload_id: UUID) -> Response:
        digest = validated(CompletionSerializer, request.data)["sha256"]
        principal = principal_of(request)
        is_direct = upload_for(principal=principal, upload_id=upload_id).multipart
        complete = complete_direct_upload if is_direct else complete_upload
        return upload_response(complete(principal=principal, upload_id=upload_id, sha256=digest))


def opened_upload_response(upload: Upload) -> Response:
    """The answer to opening a session: 201, or 200 when there is nothing to send."""
    done = upload.state == Upload.State.COMPLETE
    return upload_response(upload, status.HTTP_200_OK if done else status.HTTP_201_CREATED)


def upload_response(upload: Upload, code: int = status.HTTP_200_OK) -> Response:
    """A session as JSON, with its offset as a header too."""
    return Response(UploadSerializer(upload).data, status=code, headers=_headers(upload))


def _parts_body(serializer: type[Serializer[Any]], request: Request, upload_id: UUID, parts: Sequence[Any]) -> Any:
    upload = upload_for(principal=principal_of(request), upload_id=upload_id)
    return serializer({"part_size": part_bytes(upload.size), "parts": parts}).data


def _headers(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.offset), "Cache-Control": "no-store"}


def _part(request: Request) -> Part:
    if request.content_type.partition(";")[0].strip() != PART_TYPE:
        raise UnsupportedMediaType(request.content_type, f"Send parts as {PART_TYPE}.")
    text = request.headers.get("Upload-Offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise InvalidInput(f"Upload-Offset: {text[:40]!r} is not a number of bytes.", facts={"field": "Upload-Offset"})
    checksum = _checksum(request.headers.get("Upload-Checksum"))
    if "Transfer-Encoding" not in request.headers:
        return Part(int(text), request, int(request.headers.get("Content-Length") or 0), checksum)
    if not request.META.get("wsgi.input_terminated"):
        raise LengthRequired
    return Part(int(text), request.META["wsgi.input"], None, checksum)


def _checksum(header: str | None) -> bytes | None:
    if header is None:
        return None
    algorithm, _, text = header.strip().partition(" ")
    try:
        checksum = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        checksum = b""
    if algorithm.lower() != "sha256" or len(checksum) != 32:
        raise InvalidInput(
            f"Upload-Checksum: {header[:80]!r} is not understood.",
            hint="Write `sha256 <base64 of the 32 bytes>`, or leave it out.",
            facts={"field": "Upload-Checksum"},
        )
    return checksum
