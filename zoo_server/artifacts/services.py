"""Uploads: open a session, append to it, complete it to a blob, give it up.

The database's ``offset`` is the truth about what is durable: bytes are flushed to the disk first, then the offset
moves.  Whatever the session's file holds beyond it (after a crash, a broken part) is cut off at the next request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256 as new_sha256
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from zoo_inspection import INSPECTOR_VERSION, Inspection, inspect
from zoo_sdk.errors import Conflict, IntegrityError, InvalidInput, PermissionDenied
from zoo_server.accounts.models import Team
from zoo_server.artifacts.collection import use_blob
from zoo_server.artifacts.models import Blob, Holding, Upload
from zoo_server.artifacts.quotas import check_reserved
from zoo_server.artifacts.running_digests import RunningDigests
from zoo_server.artifacts.s3_store import S3Store
from zoo_server.artifacts.selectors import blob_store, stored_bytes, upload_for
from zoo_server.artifacts.store import PIECE, SessionBusy, SessionFile
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal
from zoo_server.rest.problems import InsufficientStorage

SESSION_LIFETIME = timedelta(days=7)
"""How long an upload may rest between two parts."""
QUOTA_LOCK = 7090171525143202
"""Advisory lock under which the quota is checked and space is reserved."""
DIGESTS = RunningDigests()


class OffsetMismatch(Conflict):
    """A part does not begin where the upload is; ``facts["offset"]`` says where that is."""

    code = "offset-mismatch"


class Incomplete(Conflict):
    """The upload lacks bytes; ``facts["offset"]`` says how many are there."""

    code = "incomplete"


class ByteStream(Protocol):
    """The body of a request; ``read`` may raise OSError when the client is gone."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Part:
    """Bytes that come next: where they begin, their stream, how many were announced (None: until it ends), sha256."""

    offset: int
    stream: ByteStream
    length: int | None = None
    checksum: bytes | None = None


def open_upload(
    *,
    principal: Principal,
    team: Team,
    size: int,
    sha256: str = "",
    filename: str = "",
    attempt: tuple[UUID, int] | None = None,
) -> Upload:
    """A new session of ``team`` for ``size`` bytes; complete at once if the team already holds them.

    The caller has checked that the principal may write in the team.  ``attempt`` is ``(job id, number)`` for the
    uploads of a worker.

    Raises:
        InvalidInput: the team holds these bytes, and they have another size.
        QuotaExceeded: the team's quota has no room for ``size`` bytes.
        InsufficientStorage: the store's quota or the disk has none.

    """
    if principal.user_id is None:
        raise PermissionDenied("An upload needs an owner, and the caller is nobody.", hint="Sign in first.")
    job_id, number = attempt or (None, None)
    upload = Upload(
        team=team,
        created_by_id=principal.user_id,
        job_id=job_id,
        attempt=number,
        filename=filename,
        size=size,
        sha256=sha256,
        expires_at=timezone.now() + SESSION_LIFETIME,
    )
    usable = Blob.objects.exclude(state__in=[Blob.State.DELETING, Blob.State.QUARANTINED])
    held = usable.filter(sha256=sha256, holdings__team=team).first() if sha256 else None
    if held is not None:
        if held.size != size:
            raise InvalidInput(
                f"{sha256} has {held.size} bytes, not {size}.", facts={"field": "size", "size": held.size}
            )
        upload.state, upload.offset, upload.blob = Upload.State.COMPLETE, size, held
        with transaction.atomic():
            use_blob(sha256)
            upload.save(force_insert=True)
        return upload
    with transaction.atomic():
        _check_room(size)
        upload.save(force_insert=True)
        check_reserved(team, size)
    return upload


def append_to_upload(*, principal: Principal, upload_id: UUID, part: Part) -> Upload:
    """Add a part to the session; what has arrived durably counts, also when the client breaks off.

    A part with a checksum counts whole or not at all.

    Raises:
        OffsetMismatch: the part does not begin at the session's offset.
        SessionBusy: another request is writing to it.
        IntegrityError: the part is not what its checksum says, or has more bytes than the session has left.
        InsufficientStorage: the disk is full; the session stays at its former offset.

    """
    upload = upload_for(principal=principal, upload_id=upload_id)
    if upload.multipart:
        raise Conflict("The upload's parts go to the bucket.", hint="Send the rest there: POST uploads/ID/parts.")
    with blob_store().session(upload.pk) as file:
        _reconcile(upload, file)
        if part.offset != upload.offset:
            raise OffsetMismatch(
                f"The part begins at {part.offset}, and the upload is at {upload.offset}.",
                hint="Go on from the offset in `facts`.",
                facts={"offset": upload.offset},
            )
        if part.length is not None and part.length > upload.size - upload.offset:
            raise _too_long(upload)
        try:
            _receive(upload, file, part)
        except BaseException:
            file.truncate(upload.offset)
            raise
    return upload


def complete_upload(*, principal: Principal, upload_id: UUID, sha256: str) -> Upload:
    """Check the whole digest and make the bytes a blob that the team holds.  Idempotent.

    Raises:
        Incomplete: bytes are missing.
        IntegrityError: the bytes have another digest; the session is over and nothing is kept.

    """
    upload = upload_for(principal=principal, upload_id=upload_id)
    if upload.state == Upload.State.COMPLETE:
        return already_complete(upload, sha256)
    store = blob_store()
    with store.session(upload.pk) as file:
        upload.refresh_from_db()
        if upload.state == Upload.State.COMPLETE:
            store.discard_session(upload.pk)
            return already_complete(upload, sha256)
        _reconcile(upload, file)
        if upload.offset != upload.size:
            raise Incomplete(
                f"The upload has {upload.offset} of {upload.size} bytes.",
                hint="Send the rest from the offset in `facts`.",
                facts={"offset": upload.offset, "size": upload.size},
            )
        found = _whole_digest(upload, file)
        if found != sha256 or upload.sha256 not in {"", found}:
            Upload.objects.filter(pk=upload.pk, state=Upload.State.OPEN).update(state=Upload.State.ABORTED)
            store.discard_session(upload.pk)
            raise IntegrityError(
                f"The {upload.size} bytes have the digest {found}, not {sha256 if found != sha256 else upload.sha256}.",
                hint="Nothing was kept. Check the file, and upload it again.",
                facts={"sha256": found},
            )
        inspection = inspect(file.path, name=upload.filename)
        keep_blob(principal=principal, upload=upload, found=inspection, digest=found, keep=lambda: file.keep_as(found))
        store.discard_session(upload.pk)
    return upload


def abort_upload(*, principal: Principal, upload_id: UUID) -> None:
    """Give the session up and remove its bytes; a complete one stays as it is."""
    upload = upload_for(principal=principal, upload_id=upload_id)
    _abort(upload)


def expire_uploads(*, now: datetime | None = None) -> int:
    """Abort sessions past their time and remove session files that no open session needs; answers how many ended."""
    ended = 0
    for upload in Upload.objects.filter(state=Upload.State.OPEN, expires_at__lt=now or timezone.now()).iterator():
        try:
            _abort(upload)
        except SessionBusy:
            continue  # it is being written to: not abandoned after all
        ended += 1
    store = blob_store()
    on_disk = set(store.session_ids())
    needed = set(Upload.objects.filter(pk__in=on_disk, state=Upload.State.OPEN).values_list("pk", flat=True))
    for upload_id in on_disk - needed:
        store.discard_session(upload_id)
    store.discard_stale(before=(now or timezone.now()) - SESSION_LIFETIME)
    return ended


def hold_blob(*, team: Team, blob: Blob) -> None:
    """Note that ``team`` possesses the bytes.  Call it only where possession was proved by the bytes themselves."""
    Holding.objects.get_or_create(team=team, blob=blob)


def _abort(upload: Upload) -> None:
    store = blob_store()
    with store.session(upload.pk):
        Upload.objects.filter(pk=upload.pk, state=Upload.State.OPEN).update(state=Upload.State.ABORTED)
        store.discard_session(upload.pk)
    if upload.multipart and isinstance(store, S3Store) and upload.state == Upload.State.OPEN:
        store.discard_direct(upload.pk, upload.multipart)


def _check_room(size: int) -> None:
    quota = settings.ZOO_STORE_QUOTA_BYTES
    if quota is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [QUOTA_LOCK])
        used = stored_bytes()
        if used + size > quota:
            raise InsufficientStorage(
                f"{size} bytes do not fit: {used} of the store's quota of {quota} bytes are used or reserved.",
                hint="Remove what nobody needs, or ask the operators for a larger quota (ZOO_STORE_QUOTA_GIB).",
                facts={"used": used, "quota": quota, "size": size},
            )
    free = blob_store().free_bytes()
    if size > free:
        raise InsufficientStorage(
            f"{size} bytes do not fit: the store's disk has {free} bytes left.",
            hint="Free some space, or ask the operators for more.",
            facts={"free": free, "size": size},
        )


def _reconcile(upload: Upload, file: SessionFile) -> None:
    """Bring file and database to one offset: the smaller of the two is what is surely there."""
    upload.refresh_from_db(fields=["state", "offset"])
    if upload.state != Upload.State.OPEN:
        raise Conflict(f"The upload is {upload.state}.", hint="Open a new one.", facts={"state": upload.state})
    present = file.size()
    if present < upload.offset:  # the store was restored from an older copy, or the file was damaged
        _move(upload, present)
    file.truncate(upload.offset)


def _receive(upload: Upload, file: SessionFile, part: Part) -> None:
    """Write the part, make it durable, then move the offset."""
    whole = DIGESTS.take(upload.pk, upload.offset)
    own = new_sha256() if part.checksum else None
    received = 0
    for piece in _pieces(part, upload):
        file.write(piece)
        received += len(piece)
        for state in (whole, own):
            if state is not None:
                state.update(piece)
    if own is not None and own.digest() != part.checksum:
        raise IntegrityError(
            f"The part of {received} bytes at {part.offset} is not what its Upload-Checksum says.",
            hint="Send it again from the same offset.",
            facts={"offset": part.offset},
        )
    file.flush()
    _move(upload, part.offset + received)
    DIGESTS.put(upload.pk, upload.offset, whole)


def _pieces(part: Part, upload: Upload) -> Iterator[bytes]:
    """The part's bytes as they arrive; ends early when the client is gone."""
    left = upload.size - part.offset
    announced = left if part.length is None else part.length
    while announced > 0:
        try:
            piece = part.stream.read(min(PIECE, announced))
        except OSError:
            return
        if not piece:
            return
        announced -= len(piece)
        yield piece
    if part.length is None and part.stream.read(1):
        raise _too_long(upload)


def _too_long(upload: Upload) -> IntegrityError:
    left = upload.size - upload.offset
    return IntegrityError(
        f"The part has more than the {left} bytes that the upload of {upload.size} bytes still lacks.",
        hint="Open the upload with the file's true size.",
        facts={"offset": upload.offset, "size": upload.size},
    )


def _move(upload: Upload, offset: int) -> None:
    moved = Upload.objects.filter(pk=upload.pk, state=Upload.State.OPEN, offset=upload.offset).update(
        offset=offset, expires_at=timezone.now() + SESSION_LIFETIME
    )
    if not moved:
        raise Conflict("The upload was changed by another request.", hint="Ask for its offset with HEAD.")
    upload.offset = offset


def _whole_digest(upload: Upload, file: SessionFile) -> str:
    state = DIGESTS.take(upload.pk, upload.size)
    if state is None:
        state = new_sha256()
        for piece in file.pieces():
            state.update(piece)
    return f"sha256:{state.hexdigest()}"


def keep_blob(
    *, principal: Principal, upload: Upload, found: Inspection, digest: str, keep: Callable[[], None]
) -> None:
    """Note bytes as a blob, and that the upload's team possesses them; ``keep`` puts them into the store.

    The bytes go first, so that a row never lacks them.  A collector may have removed them between the two; then they
    go once more, now that the row keeps collectors away.
    """
    keep()
    with transaction.atomic():
        blob, _ = Blob.objects.get_or_create(
            sha256=digest,
            defaults={
                "size": upload.size,
                "format": found.format,
                "facts": found.facts,
                "findings": list(found.findings),
                "inspector": INSPECTOR_VERSION,
            },
        )
        use_blob(digest)
        if blob_store().size_of(digest) != upload.size:
            keep()
        Blob.objects.filter(pk=digest, state=Blob.State.QUARANTINED).update(state=Blob.State.NONE)
        hold_blob(team=upload.team, blob=blob)
        upload.state, upload.blob, upload.sha256 = Upload.State.COMPLETE, blob, digest
        upload.save(update_fields=["state", "blob", "sha256"])
        details = {"sha256": digest, "size": upload.size, "format": blob.format}
        record_event(actor=principal, action="upload.completed", subject=upload, team=upload.team.name, details=details)


def already_complete(upload: Upload, sha256: str) -> Upload:
    """The upload, if it was completed with this digest; else a conflict."""
    if upload.blob_id != sha256:
        raise Conflict(
            f"The upload is complete with the digest {upload.blob_id}, not {sha256}.", facts={"sha256": upload.blob_id}
        )
    return upload
