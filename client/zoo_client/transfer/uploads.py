"""Uploads of single files: announced by digest, sent in pieces, resumable after any break and by any later process."""

import http.client
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from zoo_client.api import Api, path_of, wait_seconds
from zoo_client.errors import Unreachable
from zoo_client.records import Upload
from zoo_client.transfer.digests import Progress, digest_of_file, ignore_progress
from zoo_client.transfer.direct import DirectSender, NotReachable
from zoo_client.transfer.journal import UploadJournal
from zoo_client.transfer.wire import BREAKS, MAX_PROBLEM_BYTES, Broken, Wire, raise_for_problem
from zoo_sdk.errors import Conflict, InvalidInput, NotFound, Unavailable, ZooError

PIECE_BYTES = 16 * 1024 * 1024
FRUITLESS_TRIES = 6
SLOWEST_HASHING = 50e6
"""Bytes per second."""


@dataclass(frozen=True)
class Uploader:
    """Where uploads go.

    Args:
        api: the registry.
        wire: connections for the bytes.
        journal: where unfinished sessions are remembered; None: nowhere.
        route: the route that opens a session (a worker's attempt has its own).
        fields: more fields of the request that opens a session, such as ``{"team": "vision"}``.

    """

    api: Api
    wire: Wire
    journal: UploadJournal | None
    fields: dict[str, Any]
    route: str = "uploads"
    sleep: Callable[[float], None] = time.sleep

    @property
    def place(self) -> str:
        """What distinguishes these sessions from those of another team or attempt."""
        return f"{self.route} {json.dumps(self.fields, sort_keys=True)}"


def upload_file(
    uploader: Uploader,
    path: Path,
    *,
    digest: str | None = None,
    name: str | None = None,
    part: tuple[int, int] | None = None,
    progress: Progress = ignore_progress,
) -> Upload:
    """Bring a file's bytes to the registry; no byte is sent if the team holds them already.

    Args:
        uploader: where to.
        path: the file.
        digest: the ``sha256:<hex>`` of what is sent, if known; else it is computed first.
        name: what to call it in the session (a hint for people).
        part: where in the file the bytes begin and how many they are (``digest`` is then needed); default: all.
        progress: hears the bytes that are done.

    Raises:
        InvalidInput: the file changed while it was read.
        IntegrityError: the registry got other bytes than these.
        NoRoom: the registry's disk or quota is full.
        Unreachable: the connection broke again and again without progress.

    """
    before = path.stat()
    start, size = part or (0, before.st_size)
    digest = digest or digest_of_file(path)
    session = _find_session(uploader, digest) or _open_session(uploader, size, digest, name or path.name)
    if session["state"] == "complete":
        progress(size)
        return _finish(uploader, session["id"], digest, size)
    try:
        session = _send_directly(uploader, session, path, (start, size), digest, progress)
        if session.get("offset") is not None:
            _send(uploader, session, path, (start, size), progress)
    except NotFound:
        _forget(uploader, digest)
        raise
    after = path.stat()
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise InvalidInput(f"{path} changed while it was uploaded.", hint="Run it again when nobody writes to it.")
    return _finish(uploader, session["id"], digest, size)


def _send_directly(
    uploader: Uploader, session: dict[str, Any], path: Path, part: tuple[int, int], digest: str, progress: Progress
) -> dict[str, Any]:
    """Send the parts to the registry's S3 service if it has one.

    Answers the session; without ``offset`` when everything is sent, a fresh one when the service cannot be reached.
    """
    start, size = part
    if not session.get("part_size") or not size:
        return {"offset": 0, **session}
    sender = DirectSender(
        uploader.api, uploader.wire, session["id"], path, size, session["part_size"], progress, uploader.sleep, start
    )
    try:
        sender.send()
    except NotReachable:
        uploader.api.send("DELETE", path_of("uploads", session["id"]))
        _forget(uploader, digest)
        return {"offset": 0, **_open_session(uploader, size, digest, path.name)}
    return {"id": session["id"]}


def _find_session(uploader: Uploader, digest: str) -> dict[str, Any] | None:
    known = uploader.journal and uploader.journal.find(uploader.api.url, uploader.place, digest)
    if not known:
        return None
    try:
        session = cast("dict[str, Any]", uploader.api.get(path_of("uploads", known)))
    except NotFound:
        session = {"state": "gone"}
    if session["state"] in {"open", "complete"}:
        return session
    _forget(uploader, digest)
    return None


def _open_session(uploader: Uploader, size: int, digest: str, name: str) -> dict[str, Any]:
    body = {**uploader.fields, "size": size, "sha256": digest, "filename": name}
    session = cast("dict[str, Any]", uploader.api.post(uploader.route, body))
    if uploader.journal and session["state"] == "open":
        uploader.journal.note(uploader.api.url, uploader.place, digest, session["id"])
    return session


def _finish(uploader: Uploader, session_id: str, digest: str, size: int) -> Upload:
    try:
        answer = uploader.api.post(
            path_of("uploads", session_id, "complete"),
            {"sha256": digest},
            repeatable=True,
            patience=size / SLOWEST_HASHING,  # the server may have to read and hash the whole file again
        )
    except InvalidInput:
        _forget(uploader, digest)  # wrong bytes: the next try must begin anew
        raise
    _forget(uploader, digest)
    return cast("Upload", answer)


def _forget(uploader: Uploader, digest: str) -> None:
    if uploader.journal:
        uploader.journal.forget(uploader.api.url, uploader.place, digest)


def _send(uploader: Uploader, session: dict[str, Any], path: Path, part: tuple[int, int], progress: Progress) -> None:
    """Send pieces from the session's offset to the end; after a break the server is asked how far it came."""
    start, size = part
    session_id = session["id"]
    offset = int(session.get("offset") or 0)
    progress(offset)
    fruitless = 0
    with path.open("rb") as file:
        while offset < size:
            before = offset
            reason: ZooError | None = None
            try:
                length = min(PIECE_BYTES, size - offset)
                offset = _send_piece(uploader.wire, session_id, file.fileno(), (start, offset), length)
            except Conflict as error:
                reason = error
                offset = int(error.facts.get("offset", offset))
            except (Broken, Unavailable) as error:
                reason = (
                    error
                    if isinstance(error, ZooError)
                    else Unreachable(f"The upload broke off: {error}.", hint="Run it again.")
                )
                uploader.sleep(wait_seconds(fruitless + 1))
                offset = _offset_of(uploader.api, session_id, offset)
            progress(offset - before)
            fruitless = fruitless + 1 if reason and offset <= before else 0
            if reason and fruitless >= FRUITLESS_TRIES:
                raise reason


def _offset_of(api: Api, session_id: str, before: int) -> int:
    session = api.get(path_of("uploads", session_id))
    return int(session.get("offset", before))


def _send_piece(wire: Wire, session_id: str, descriptor: int, place: tuple[int, int], length: int) -> int:
    """One ``PATCH`` from ``place`` (where the upload begins in the file, its offset); answers the new offset."""
    start, offset = place
    address = wire.address_of(path_of("uploads", session_id))
    headers = {
        **wire.headers_for(address),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(length),
        "Upload-Offset": str(offset),
    }
    with wire.connection(address) as (connection, target):
        connection.putrequest("PATCH", target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            _send_bytes(connection, descriptor, start + offset, length)
        except BREAKS:
            # The server may have answered (409, 413, 507) and closed before it read everything: its answer says more.
            response = _answer_of(connection)
            if response is None:
                raise
        else:
            response = connection.getresponse()
        raise_for_problem(response, urlsplit(address).path)
        response.read(MAX_PROBLEM_BYTES)
        return int(response.headers.get("Upload-Offset", offset + length))


def _answer_of(connection: http.client.HTTPConnection) -> http.client.HTTPResponse | None:
    try:
        return connection.getresponse()
    except BREAKS:
        return None


def _send_bytes(connection: http.client.HTTPConnection, descriptor: int, offset: int, length: int) -> None:
    """The kernel copies from the file to the socket; with TLS the socket's own ``sendfile`` reads and encrypts."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        sent = connection.sock.sendfile(file, offset, length)
    if sent != length:
        raise ConnectionError(f"the file ended {length - sent} bytes early")
