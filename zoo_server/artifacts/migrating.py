"""Moving a store's blobs between a folder and a bucket, one after another, each hashed on the way.

What the target holds already (with the right size) is passed over, so a run that was broken off is continued by the
next, and blobs that came meanwhile are brought by one more run.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import BinaryIO, Literal

from django.conf import settings

from zoo_sdk.errors import IntegrityError, InvalidInput, Unavailable
from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.s3_store import S3Store
from zoo_server.artifacts.store import PIECE, BlobStore, LocalStore
from zoo_server.rest.identifiers import new_id

Place = Literal["local", "s3"]
Outcome = Literal["copied", "there", "verified", "missing", "damaged"]


@dataclass(frozen=True)
class Moved:
    """What became of one blob."""

    blob: Blob
    outcome: Outcome


def store_at(place: Place) -> BlobStore:
    """The folder, or the bucket, that the settings name; its spool is apart from that of the running registry."""
    apart = Path(settings.ZOO_STORE_DIR)
    if place == "local":
        return LocalStore(apart, sessions="migration")
    if settings.ZOO_S3 is None:
        raise InvalidInput(
            "ZOO_S3_BUCKET is not set: there is no bucket to move blobs to or from.",
            hint="Set ZOO_S3_* for this command; the registry itself may still run without them.",
            facts={"field": "ZOO_S3_BUCKET"},
        )
    return S3Store(settings.ZOO_S3, LocalStore(apart, sessions="migration"))


def migrate_blobs(*, source: BlobStore, target: BlobStore, verify: bool = False) -> Iterator[Moved]:
    """Copy every blob that ``target`` lacks; with ``verify``, read again and hash what it has.  Nothing is removed."""
    for stale in list(target.session_ids()):
        target.discard_session(stale)
    after = ""
    while True:
        found = list(Blob.objects.filter(sha256__gt=after).order_by("sha256").only("sha256", "size")[:1000])
        for blob in found:
            yield Moved(blob, _migrate(blob, source, target, verify))
        if len(found) < 1000:
            return
        after = found[-1].sha256


def _migrate(blob: Blob, source: BlobStore, target: BlobStore, verify: bool) -> Outcome:  # noqa: FBT001  ours
    if target.size_of(blob.sha256) == blob.size:
        if not verify:
            return "there"
        with target.open(blob.sha256) as stream:
            if _digest_of(stream) == blob.sha256:
                return "verified"
        return "damaged"
    if source.size_of(blob.sha256) is None:
        return "missing"
    session = new_id()
    try:
        with source.open(blob.sha256) as stream, target.session(session) as file:
            state = new_sha256()
            while piece := stream.read(PIECE):
                state.update(piece)
                file.write(piece)
            if f"sha256:{state.hexdigest()}" != blob.sha256:
                return "damaged"
            file.keep_as(blob.sha256)
    except IntegrityError:
        return "damaged"
    finally:
        with suppress(Unavailable):
            target.discard_session(session)
    return "copied"


def _digest_of(stream: BinaryIO) -> str:
    state = new_sha256()
    while piece := stream.read(PIECE):
        state.update(piece)
    return f"sha256:{state.hexdigest()}"
