"""Sends a blob: ranges and preconditions of RFC 9110, and the bytes by the kernel's sendfile, nginx or the bucket.

Gunicorn hands a WSGI file wrapper's descriptor to ``sendfile`` from its current position, for as many bytes as
``Content-Length`` says; so a range needs no copy through Python either.
"""

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags
from rest_framework.request import Request

from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.selectors import blob_store
from zoo_server.artifacts.store import LocalStore

CONTENT_TYPES: Mapping[str, str] = MappingProxyType(
    {"json": "application/json", "text": "text/plain; charset=utf-8", "png": "image/png", "jpeg": "image/jpeg"}
)
SINGLE_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*$", re.IGNORECASE)
MAX_DIGITS = 19
NGINX_CONDITIONS = ("If-Match", "If-Unmodified-Since")


class FileSlice:
    """``length`` bytes of an open file from its position on; offers its descriptor, so that sendfile can be used."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def fileno(self) -> int:
        """The descriptor, positioned at the slice's start."""
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """For servers without sendfile."""
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def blob_response(request: Request | HttpRequest, blob: Blob, filename: str) -> HttpResponseBase:
    """The bytes of ``blob`` as a download called ``filename``: 200, 206, 304 or 416; only headers for HEAD.

    A store that serves its blobs itself (S3) gets the request for the bytes by a redirect (307).  An nginx in front
    (``ZOO_X_ACCEL_PREFIX``) is told which file of the local store to send; it cuts the range out itself.

    Raises:
        Unavailable: the store has lost the file.

    """
    etag = f'"{blob.sha256}"'
    if _matches(request.headers.get("If-None-Match"), etag):
        return _with_headers(HttpResponse(status=304), blob, filename)
    wanted = _range(request, etag, blob.size)
    if wanted is not None and wanted[0] >= wanted[1]:
        refused = HttpResponse(status=416)
        refused["Content-Range"] = f"bytes */{blob.size}"
        return _with_headers(refused, blob, filename)
    content_type = CONTENT_TYPES.get(blob.format, "application/octet-stream")
    elsewhere = blob_store().download_url(blob.sha256, filename=filename, content_type=content_type)
    if elsewhere and blob.size and request.method == "GET":
        return _redirect(elsewhere)
    location = _location(request, blob, is_part=wanted is not None)
    if location is not None:
        passed_on = HttpResponse(content_type=content_type)
        passed_on["X-Accel-Redirect"] = location
        told = _with_headers(passed_on, blob, filename)
        del told["Accept-Ranges"]  # nginx says so itself
        return told
    start, end = wanted or (0, blob.size)
    response = _body(request, blob, start, end - start)
    response["Content-Length"] = str(end - start)
    response["Content-Type"] = content_type
    if wanted is not None:
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    return _with_headers(response, blob, filename)


def _location(request: Request | HttpRequest, blob: Blob, *, is_part: bool) -> str | None:
    """Where nginx finds the bytes; None where it would understand the request otherwise than we do.

    That is a range that we answer with the whole file, and conditions that it would hold against its own file's time.
    """
    prefix, store = settings.ZOO_X_ACCEL_PREFIX, blob_store()
    if prefix is None or not isinstance(store, LocalStore) or request.method != "GET" or not blob.size:
        return None
    if any(name in request.headers for name in NGINX_CONDITIONS) or ("Range" in request.headers and not is_part):
        return None
    if store.size_of(blob.sha256) is None:
        return None  # opening it here says so
    return prefix + store.blob_path(blob.sha256).relative_to(store.root / "blobs").as_posix()


def _redirect(address: str) -> HttpResponse:
    """To the store's own address, which is presigned for a while: it is for this caller, and for now."""
    response = HttpResponse(status=307)
    response["Location"] = address
    response["Cache-Control"] = "private, no-store"
    return response


def _body(request: Request | HttpRequest, blob: Blob, start: int, length: int) -> HttpResponseBase:
    if request.method == "HEAD" or length == 0:
        return HttpResponse()
    file = blob_store().open(blob.sha256)
    os.lseek(file.fileno(), start, os.SEEK_SET)
    return FileResponse(FileSlice(file, length))


def _with_headers(response: HttpResponseBase, blob: Blob, filename: str) -> HttpResponseBase:
    digest = b64encode(bytes.fromhex(blob.sha256.removeprefix("sha256:"))).decode()
    response["ETag"] = f'"{blob.sha256}"'
    response["Accept-Ranges"] = "bytes"
    response["Repr-Digest"] = f"sha-256=:{digest}:"
    response["Digest"] = f"sha-256={digest}"
    response["Cache-Control"] = "private, no-cache"  # whether it may still be seen is asked again; 304 is cheap
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=filename) or "attachment"
    return response


def _matches(header: str | None, etag: str) -> bool:
    """If-None-Match: weak comparison (RFC 9110, 13.1.2)."""
    if not header:
        return False
    return any(item in {"*", etag, f"W/{etag}"} for item in parse_etags(header))


def _range(request: Request | HttpRequest, etag: str, size: int) -> tuple[int, int] | None:
    """The wanted bytes ``[start, end)``; empty if they lie outside; None for the whole file.

    Several ranges, other units and malformed ones are answered with the whole file, as RFC 9110 allows.  ``If-Range``
    with anything but our strong ETag (a date, a weak or an older one) asks for the whole file as well.
    """
    header = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    if not header or request.method != "GET" or (condition is not None and condition.strip() != etag):
        return None
    found = SINGLE_RANGE.match(header)
    if found is None or not (found[1] or found[2]) or max(len(found[1]), len(found[2])) > MAX_DIGITS:
        return None
    if not found[1]:
        length = int(found[2])
        return (size, size) if length == 0 else (max(size - length, 0), size)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return None
    return min(start, size), min(int(found[2]) + 1, size) if found[2] else size
