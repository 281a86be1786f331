"""Blobs in a bucket of an S3 service, by the same names as in a folder: ``blobs/aa/bb/<hex>``.

Upload sessions are spooled in a local folder, as :class:`LocalStore` does it, and go to the bucket when their digest is
known.  Every part travels with its sha256, which the service checks, and the object's size is compared afterwards.  A
multipart upload shows nothing under its key before it is complete, so a blob is there whole or not at all.

Direct uploads (``staging/<session>``) come from the client by presigned addresses; once their bytes were read and
hashed here, the service copies them to their name.  Downloads leave by presigned addresses.
"""

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from uuid import UUID

from zoo_sdk.errors import Unavailable
from zoo_server.artifacts.models import Upload
from zoo_server.artifacts.s3_settings import S3Settings
from zoo_server.artifacts.store import LocalSessionFile, LocalStore, SessionFile
from zoo_server.rest.problems import InsufficientStorage

PART = 16 * 2**20
"""Bytes of a part, unless the object needs more than :data:`MOST_PARTS` of them."""
MOST_PARTS = 9_000
AT_ONCE = 4
AHEAD = 2**20
"""Bytes that one request for a blob's content brings at least."""
URL_SECONDS = 900
FULL = frozenset({"EntityTooLarge", "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"})
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True)
class DirectPart:
    """A part that is in the bucket already."""

    number: int
    size: int
    etag: str
    checksum: str | None


class S3SessionFile(LocalSessionFile):
    """See :class:`SessionFile`: a spooled session that is kept in the bucket."""

    def __init__(self, spooled: LocalSessionFile, store: "S3Store") -> None:
        super().__init__(spooled._descriptor, spooled.path, store.spool)  # noqa: SLF001  the same file
        self._bucket = store

    def keep_as(self, sha256: str) -> None:
        self.flush()
        self._bucket.put(self.path, sha256)


class S3Store:
    """See :class:`zoo_server.artifacts.store.BlobStore`."""

    def __init__(self, settings: S3Settings, spool: LocalStore) -> None:
        self.settings = settings
        self.spool = spool

    @property
    def client(self) -> Any:
        """A client of the service; they are safe for threads."""
        return _client(self.settings, self.settings.endpoint_url)

    @contextmanager
    def session(self, upload_id: UUID) -> Iterator[SessionFile]:
        with self.spool.session(upload_id) as file:
            yield S3SessionFile(cast("LocalSessionFile", file), self)

    def discard_session(self, upload_id: UUID) -> None:
        self.spool.discard_session(upload_id)

    def session_ids(self) -> Iterator[UUID]:
        return self.spool.session_ids()

    def free_bytes(self) -> int:
        """Of the spool: the bucket's own limit shows when it is reached."""
        return self.spool.free_bytes()

    def size_of(self, sha256: str) -> int | None:
        try:
            with s3_errors(self.settings):
                found = self.client.head_object(Bucket=self.settings.bucket, Key=_key(sha256))
        except _Missing:
            return None
        return int(found["ContentLength"])

    def remove(self, sha256: str) -> None:
        with s3_errors(self.settings):
            self.client.delete_object(Bucket=self.settings.bucket, Key=_key(sha256))

    def quarantine(self, sha256: str) -> None:
        place = {"Bucket": self.settings.bucket, "Key": _key(sha256)}
        with s3_errors(self.settings):
            self.client.copy(place, self.settings.bucket, f"quarantine/{sha256.removeprefix('sha256:')}")
            self.client.delete_object(**place)

    def open(self, sha256: str) -> BinaryIO:
        size = self.size_of(sha256)
        if size is None:
            raise Unavailable(
                f"The bytes of {sha256} are missing from the bucket {self.settings.bucket!r}.",
                hint="Tell the operators to restore the store.",
            )
        return self._reading(_key(sha256), size)

    def download_url(self, sha256: str, *, filename: str, content_type: str) -> str | None:
        """A presigned address, good for :data:`URL_SECONDS`; the service answers ranges and says the file's name."""
        from django.utils.http import content_disposition_header

        wanted = {
            "Bucket": self.settings.bucket,
            "Key": _key(sha256),
            "ResponseContentType": content_type,
            "ResponseContentDisposition": content_disposition_header(as_attachment=True, filename=filename),
        }
        return self._presigned("get_object", wanted)

    def put(self, path: Path, sha256: str) -> None:
        """Keep a local file as a blob.  The caller has checked the digest.

        Raises:
            Unavailable: the service did not answer, or what it kept has another size.
            InsufficientStorage: the service has no room.

        """
        size = path.stat().st_size
        if self.size_of(sha256) == size:
            return
        with s3_errors(self.settings):
            if size <= PART:
                self._put_whole(path, sha256)
            else:
                self._put_in_parts(path, sha256, size)
        kept = self.size_of(sha256)
        if kept != size:
            raise Unavailable(f"The bucket holds {kept} of the {size} bytes of {sha256}.", hint="Try again.")

    def begin_direct(self, upload_id: UUID) -> str:
        """Begin a multipart upload that a client fills; answers its id."""
        with s3_errors(self.settings):
            made = self.client.create_multipart_upload(**self._staged(upload_id), ChecksumAlgorithm="SHA256")
        return str(made["UploadId"])

    def part_url(self, upload: Upload, number: int, checksum: str) -> tuple[str, dict[str, str]]:
        """Address and headers by which a part is PUT; the service refuses another length or sha256 (base64)."""
        length = part_bytes(upload.size)
        wanted = {
            **self._staged(upload.pk),
            "UploadId": upload.multipart,
            "PartNumber": number,
            "ChecksumSHA256": checksum,
            "ContentLength": min(length, upload.size - (number - 1) * length),
        }
        return self._presigned("upload_part", wanted), {"x-amz-checksum-sha256": checksum}

    def direct_parts(self, upload_id: UUID, multipart: str) -> list[DirectPart]:
        """The parts that have arrived, by number; none once the upload is complete or gone."""
        try:
            with s3_errors(self.settings):
                pages = self.client.get_paginator("list_parts").paginate(**self._staged(upload_id), UploadId=multipart)
                found = [part for page in pages for part in page.get("Parts", ())]
        except _Missing:
            return []
        return [
            DirectPart(part["PartNumber"], part["Size"], part["ETag"], part.get("ChecksumSHA256")) for part in found
        ]

    def finish_direct(self, upload_id: UUID, multipart: str, parts: Sequence[DirectPart]) -> None:
        """Put the parts together under ``staging/``."""
        listed = [{"PartNumber": part.number, "ETag": part.etag} | _checksum(part.checksum) for part in parts]
        with s3_errors(self.settings):
            self.client.complete_multipart_upload(
                **self._staged(upload_id), UploadId=multipart, MultipartUpload={"Parts": listed}
            )

    def open_direct(self, upload_id: UUID) -> BinaryIO | None:
        """The staged object, or None if it is not complete."""
        try:
            with s3_errors(self.settings):
                found = self.client.head_object(**self._staged(upload_id))
        except _Missing:
            return None
        return self._reading(self._staged(upload_id)["Key"], int(found["ContentLength"]))

    def adopt_direct(self, upload_id: UUID, sha256: str, size: int) -> None:
        """Have the service copy the staged object to its name.  The caller has read it and knows its digest."""
        if self.size_of(sha256) != size:
            with s3_errors(self.settings):
                self.client.copy(self._staged(upload_id), self.settings.bucket, _key(sha256))
            kept = self.size_of(sha256)
            if kept != size:
                raise Unavailable(f"The copy of {sha256} has {kept} of {size} bytes.", hint="Try again.")

    def discard_direct(self, upload_id: UUID, multipart: str) -> None:
        """Remove what a direct upload left, complete or not."""
        if multipart:
            try:
                with s3_errors(self.settings):
                    self.client.abort_multipart_upload(**self._staged(upload_id), UploadId=multipart)
            except _Missing:
                pass  # it is complete, or was given up before
        with s3_errors(self.settings):
            self.client.delete_object(**self._staged(upload_id))

    def discard_stale(self, *, before: datetime) -> int:
        """Abort multipart uploads that were begun before then: of crashed servers and of clients that went away."""
        gone = 0
        with s3_errors(self.settings):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.settings.bucket)
            stale = [item for page in pages for item in page.get("Uploads", ()) if item["Initiated"] < before]
        for item in stale:
            if not item["Key"].startswith(("blobs/", "staging/")):
                continue  # the bucket is shared with somebody
            try:
                with s3_errors(self.settings):
                    self.client.abort_multipart_upload(
                        Bucket=self.settings.bucket, Key=item["Key"], UploadId=item["UploadId"]
                    )
            except _Missing:
                continue
            gone += 1
        return gone

    def _put_whole(self, path: Path, sha256: str) -> None:
        digest = b64encode(bytes.fromhex(sha256.removeprefix("sha256:"))).decode()
        with path.open("rb") as body:
            self.client.put_object(Bucket=self.settings.bucket, Key=_key(sha256), Body=body, ChecksumSHA256=digest)

    def _put_in_parts(self, path: Path, sha256: str, size: int) -> None:
        place = {"Bucket": self.settings.bucket, "Key": _key(sha256)}
        upload = self.client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
        length = part_bytes(size)

        def send(number: int) -> dict[str, Any]:
            with path.open("rb") as file:
                file.seek((number - 1) * length)
                piece = file.read(length)
            checksum = _checksum(b64encode(new_sha256(piece).digest()).decode())
            sent = self.client.upload_part(**place, UploadId=upload, PartNumber=number, Body=piece, **checksum)
            return {"PartNumber": number, "ETag": sent["ETag"], **checksum}

        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                parts = list(pool.map(send, range(1, -(-size // length) + 1)))
            self.client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self.client.abort_multipart_upload(**place, UploadId=upload)
            raise

    def _staged(self, upload_id: UUID) -> dict[str, str]:
        return {"Bucket": self.settings.bucket, "Key": f"staging/{upload_id}"}

    def _reading(self, key: str, size: int) -> BinaryIO:
        return cast("BinaryIO", S3Reader(self.settings, self.client, key, size))

    def _presigned(self, action: str, wanted: Mapping[str, Any]) -> str:
        client = _client(self.settings, self.settings.public_url or self.settings.endpoint_url)
        return str(client.generate_presigned_url(action, Params=dict(wanted), ExpiresIn=URL_SECONDS))


class S3Reader(io.RawIOBase):
    """An object as a seekable file: ranges are fetched as they are read."""

    def __init__(self, settings: S3Settings, client: Any, key: str, size: int) -> None:
        self._settings, self._client, self._key, self._size = settings, client, key, size
        self._position = 0
        self._start, self._held = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = min(len(view), max(0, self._size - self._position))
        if not wanted:
            return 0
        offset = self._position - self._start
        if not 0 <= offset < len(self._held):
            end = min(self._position + max(wanted, AHEAD), self._size)
            with s3_errors(self._settings):
                answer = self._client.get_object(
                    Bucket=self._settings.bucket, Key=self._key, Range=f"bytes={self._position}-{end - 1}"
                )
                self._start, self._held, offset = self._position, answer["Body"].read(), 0
            if len(self._held) != end - self._position:
                raise Unavailable(
                    f"The bucket gave {len(self._held)} of {end - self._position} bytes.", hint="Try again."
                )
        piece = self._held[offset : offset + wanted]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


class _Missing(Unavailable):
    """There is no such object or multipart upload."""


@contextmanager
def s3_errors(settings: S3Settings) -> Iterator[None]:
    """Errors of the service as ours: a full bucket, a missing object, or :class:`Unavailable`, which may be retried."""
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import S3UploadFailedError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in MISSING or code == "NoSuchUpload":
            raise _Missing(f"The bucket {settings.bucket!r} does not have it ({code}).") from error
        if code in FULL:
            raise InsufficientStorage(
                f"The bucket {settings.bucket!r} is full: {error}.",
                hint="Free some space, or ask the operators for more; then resume the upload.",
            ) from error
        raise Unavailable(f"The S3 service refused: {error}.", hint="Try again; the operators see why.") from error
    except (BotoCoreError, S3UploadFailedError) as error:
        raise Unavailable(f"The S3 service does not answer: {error}.", hint="Try again in a moment.") from error


def part_bytes(size: int) -> int:
    """How long each part of an object of ``size`` bytes is: whole MiB, at most :data:`MOST_PARTS` of them."""
    least = -(-size // MOST_PARTS)
    return max(PART, -(-least // 2**20) * 2**20)


def _checksum(value: str | None) -> dict[str, str]:
    return {"ChecksumSHA256": value} if value else {}


def _key(sha256: str) -> str:
    digits = sha256.removeprefix("sha256:")
    return f"blobs/{digits[:2]}/{digits[2:4]}/{digits}"


@lru_cache(maxsize=8)
def _client(settings: S3Settings, endpoint_url: str | None) -> Any:
    """Importing boto3 takes a while, so only a registry that uses S3 does it."""
    from boto3.session import Session
    from botocore.config import Config

    is_aws = endpoint_url is None or (urlsplit(endpoint_url).hostname or "").endswith(".amazonaws.com")
    config = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "auto" if is_aws else "path"},
        request_checksum_calculation="when_required",  # every part has its sha256 from us
        response_checksum_validation="when_required",
    )
    session = Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
    )
    return session.client("s3", endpoint_url=endpoint_url, config=config)
