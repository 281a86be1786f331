"""Direct uploads: the client sends parts to the S3 service by presigned addresses; we read, hash and inspect them.

A session becomes direct when its first parts are offered.  The bucket knows which parts have arrived, so a client (or
server) that died goes on with what is missing.  What the client says about digests is checked by the service for each
part, and by us for the whole: possession is proved by the bytes, as with every other upload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from typing import BinaryIO
from uuid import UUID

from zoo_inspection import inspect
from zoo_sdk.errors import Conflict, IntegrityError, InvalidInput
from zoo_server.artifacts.models import Upload
from zoo_server.artifacts.s3_store import DirectPart, S3Store, part_bytes
from zoo_server.artifacts.selectors import blob_store, upload_for
from zoo_server.artifacts.services import Incomplete, already_complete, keep_blob
from zoo_server.rest.principals import Principal

READ = 8 * 2**20


class NotDirect(Conflict):
    """The registry keeps files in a folder: there is nobody to send parts to but itself."""

    code = "not-direct"


@dataclass(frozen=True)
class OfferedPart:
    """Where a part is to be PUT, with which headers."""

    number: int
    url: str
    headers: dict[str, str]


def offer_parts(*, principal: Principal, upload_id: UUID, checksums: dict[int, str]) -> list[OfferedPart]:
    """Addresses for parts, by number from 1, each with the sha256 (base64) of its bytes.

    Raises:
        NotDirect: the store is a folder.
        Conflict: the upload has ended, or has bytes that came through the registry.
        InvalidInput: a number beyond the upload's last part.

    """
    store = _bucket()
    upload = upload_for(principal=principal, upload_id=upload_id)
    if upload.state != Upload.State.OPEN or upload.offset:
        raise Conflict(
            f"The upload is {upload.state} at {upload.offset} of {upload.size} bytes: its parts cannot go another way.",
            hint="Open a new one.",
            facts={"state": upload.state, "offset": upload.offset},
        )
    last = part_count(upload.size)
    wrong = next((number for number in checksums if not 1 <= number <= last), None)
    if wrong is not None:
        raise InvalidInput(f"The upload has the parts 1 to {last}, not {wrong}.", facts={"field": "parts"})
    if not upload.multipart:
        _begin(upload, store)
    return [OfferedPart(number, *store.part_url(upload, number, checksum)) for number, checksum in checksums.items()]


def arrived_parts(*, principal: Principal, upload_id: UUID) -> list[DirectPart]:
    """The parts that the bucket has."""
    store = _bucket()
    upload = upload_for(principal=principal, upload_id=upload_id)
    return store.direct_parts(upload.pk, upload.multipart) if upload.multipart else []


def complete_direct_upload(*, principal: Principal, upload_id: UUID, sha256: str) -> Upload:
    """As :func:`zoo_server.artifacts.services.complete_upload`, for parts that went to the bucket."""
    store = _bucket()
    upload = upload_for(principal=principal, upload_id=upload_id)
    with store.session(upload.pk):  # one request at a time
        upload.refresh_from_db()
        if upload.state == Upload.State.COMPLETE:
            return already_complete(upload, sha256)
        if upload.state != Upload.State.OPEN:
            raise Conflict(f"The upload is {upload.state}.", hint="Open a new one.", facts={"state": upload.state})
        stream = store.open_direct(upload.pk) or _put_together(upload, store)
        found = _digest_of(stream)
        size = stream.seek(0, 2)
        if (found, size) != (sha256, upload.size) or upload.sha256 not in {"", found}:
            Upload.objects.filter(pk=upload.pk, state=Upload.State.OPEN).update(state=Upload.State.ABORTED)
            store.discard_direct(upload.pk, "")
            raise IntegrityError(
                f"The {size} bytes have the digest {found}; {sha256} was said of {upload.size} bytes.",
                hint="Nothing was kept. Check the file, and upload it again.",
                facts={"sha256": found},
            )
        stream.seek(0)
        inspection = inspect(stream, name=upload.filename)
        keep_blob(
            principal=principal,
            upload=upload,
            found=inspection,
            digest=found,
            keep=lambda: store.adopt_direct(upload.pk, found, size),
        )
        store.discard_direct(upload.pk, "")
        store.discard_session(upload.pk)
    return upload


def part_count(size: int) -> int:
    """How many parts an upload of ``size`` bytes has."""
    return max(1, -(-size // part_bytes(size)))


def _bucket() -> S3Store:
    store = blob_store()
    if not isinstance(store, S3Store):
        raise NotDirect("This registry keeps files in a folder.", hint="Send the bytes with PATCH.")
    return store


def _begin(upload: Upload, store: S3Store) -> None:
    multipart = store.begin_direct(upload.pk)
    if not Upload.objects.filter(pk=upload.pk, multipart="", offset=0).update(multipart=multipart):
        store.discard_direct(upload.pk, multipart)  # another request was quicker
        upload.refresh_from_db(fields=["multipart"])
    else:
        upload.multipart = multipart


def _put_together(upload: Upload, store: S3Store) -> BinaryIO:
    parts: Sequence[DirectPart] = store.direct_parts(upload.pk, upload.multipart)
    arrived = sum(part.size for part in parts)
    if arrived != upload.size or len(parts) != part_count(upload.size):
        raise Incomplete(
            f"The bucket has {arrived} of {upload.size} bytes.",
            hint="Send the parts that `GET .../parts` does not list.",
            facts={"offset": 0, "size": upload.size, "parts": [part.number for part in parts][:1000]},
        )
    store.finish_direct(upload.pk, upload.multipart, parts)
    stream = store.open_direct(upload.pk)
    if stream is None:
        raise Incomplete("The bucket has lost the upload.", hint="Open a new one.", facts={"size": upload.size})
    return stream


def _digest_of(stream: BinaryIO) -> str:
    state = new_sha256()
    while piece := stream.read(READ):
        state.update(piece)
    return f"sha256:{state.hexdigest()}"
