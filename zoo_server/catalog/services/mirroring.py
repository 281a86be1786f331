"""Mirroring remote files: asking for it, and fetching them piece by piece into uploads until their bytes are here.

One file is fetched at a time, for at most some seconds; what has arrived stays, and the next call goes on there.  The
bytes go through an upload of the requesting team, so quota, inspection and scan are those of everybody's uploads.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from time import monotonic
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import IntegrityError, InvalidInput, PermissionDenied, Unavailable, ZooError
from zoo_sdk.names import Reference
from zoo_sdk.vocabulary import RepositoryKind, Scope, VersionState
from zoo_server.accounts.models import Team
from zoo_server.artifacts.collection import use_blob
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.selectors import blob_store
from zoo_server.artifacts.services import Part, abort_upload, append_to_upload, complete_upload, open_upload
from zoo_server.audit.services import record_event
from zoo_server.catalog.fitting import check_fits
from zoo_server.catalog.models import Mirror, VersionFile
from zoo_server.catalog.remote import RemoteBytes, open_remote
from zoo_server.catalog.selectors import get_repository, resolve_version
from zoo_server.catalog.selectors.remote_files import remote_files
from zoo_server.rest.principals import Principal
from zoo_server.rest.problems import TooLarge

MIRROR_LOCK = 0x5A6F_6F4D
"""Key of the advisory lock under which files are fetched ("ZooM")."""
PART_BYTES = 16 * 2**20
"""After so many bytes what has arrived is made durable."""
LEAST_PROGRESS = 64 * 2**10
"""Bytes by which a try must have come forward not to count as failed."""
MAX_TRIES = 6
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)


def request_mirrors(
    *, principal: Principal, team: Team, models: Sequence[str] = (), catalogue: str | None = None
) -> list[VersionFile]:
    """Have remote files fetched: those of ``models`` (``team/name`` or ``team/name@3``), else all that ``team``
    imported (from ``catalogue``).  Files that failed before are tried again.  Answers all files that were meant.

    The caller has checked that the principal may write in the team.

    Raises:
        NotFound: a model that is not there, or that the caller may not see.
        PermissionDenied: a model of another team.

    """
    if principal.user_id is None:
        raise PermissionDenied("Mirroring needs somebody on whose behalf it is done.", hint="Sign in first.")
    wanted = remote_files(principal=principal).filter(version__repository__team=team)
    wanted = wanted.exclude(version__state=VersionState.WITHDRAWN).filter(version__deletion=None)
    if models:
        chosen = Q()
        for name in models:
            chosen |= _meant(principal, team, name)
        wanted = wanted.filter(chosen)
    else:
        entries = team.catalogue_entries.all()
        entries = entries.filter(catalogue=catalogue) if catalogue else entries
        wanted = wanted.filter(version__in=entries.values("version"))
    with transaction.atomic():
        files = list(wanted.order_by("pk"))
        missing = [file for file in files if file.blob_id is None]
        queued = _queue(principal, principal.user_id, missing)
        if queued:
            details = {"files": queued, "catalogue": catalogue, "models": list(models[:20])}
            record_event(actor=principal, action="mirror.requested", subject=team, team=team.name, details=details)
    return files


def mirror_next(*, seconds: float) -> bool:
    """Fetch the file that waits longest, for at most ``seconds``; False when none is due or another process fetches."""
    with _alone() as alone:
        if not alone:
            return False
        due = Mirror.objects.filter(state__in=[Mirror.State.QUEUED, Mirror.State.FETCHING], due_at__lte=timezone.now())
        mirror = (
            due.select_related("file__version__repository__team", "file__artifact", "requested_by", "upload")
            .order_by("due_at", "pk")
            .first()
        )
        if mirror is None:
            return False
        Mirror.objects.filter(pk=mirror.pk).update(state=Mirror.State.FETCHING, updated_at=timezone.now())
        before = mirror.upload.offset if mirror.upload else 0
        try:
            blob = _fetch(mirror, monotonic() + seconds)
        except ZooError as error:
            _note_failure(mirror, error, before)
        else:
            if blob is None:
                Mirror.objects.filter(pk=mirror.pk).update(tries=0, due_at=timezone.now(), updated_at=timezone.now())
        return True


def _meant(principal: Principal, team: Team, name: str) -> Q:
    reference = Reference.parse(name)
    if reference.team != team.name:
        raise PermissionDenied(
            f"{name} is not a model of the team {team.name!r}.",
            hint="Ask once for each team.",
            facts={"field": "models"},
        )
    if reference.selector:
        version = resolve_version(principal=principal, reference=reference, kind=RepositoryKind.MODEL)
        return Q(version=version)
    found = get_repository(principal=principal, kind=RepositoryKind.MODEL, team=reference.team, name=reference.name)
    return Q(version__repository=found)


def _queue(principal: Principal, user_id: UUID, files: Sequence[VersionFile]) -> int:
    """New mirrors, and failed ones from the start; what is on its way stays as it is."""
    now, scopes = timezone.now(), sorted(scope.value for scope in principal.scopes)
    known = {mirror.file_id: mirror for mirror in Mirror.objects.select_for_update().filter(file__in=files)}
    made = [
        Mirror(file=file, requested_by_id=user_id, scopes=scopes, due_at=now) for file in files if file.pk not in known
    ]
    Mirror.objects.bulk_create(made)
    failed = [mirror.pk for mirror in known.values() if mirror.state == Mirror.State.FAILED]
    again = {"requested_by": user_id, "scopes": scopes, "due_at": now, "tries": 0, "updated_at": now}
    Mirror.objects.filter(pk__in=failed).update(state=Mirror.State.QUEUED, error="", error_code="", **again)
    return len(made) + len(failed)


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether this is the only process that fetches: beat's ticks must not occupy every thread of the chores."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [MIRROR_LOCK])
        alone = bool(cursor.fetchone()[0])
        try:
            yield alone
        finally:
            if alone:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIRROR_LOCK])


def _fetch(mirror: Mirror, deadline: float) -> Blob | None:
    """Go on with the file; its blob when all of it is here, None when time is up before."""
    principal, file = _requester(mirror), mirror.file
    upload = mirror.upload if mirror.upload and mirror.upload.state != Upload.State.ABORTED else None
    if upload is None or upload.offset < upload.size:
        offset = upload.offset if upload else 0
        with open_remote(file.address, offset=offset, validator=mirror.validator, deadline=deadline) as remote:
            upload = _receive(mirror, principal, upload, remote)
        if upload.offset < upload.size:
            if monotonic() >= deadline and upload.offset - offset >= LEAST_PROGRESS:
                return None
            raise Unavailable(f"Only {upload.offset} of {upload.size} bytes arrived.", facts={"address": file.address})
    return _finish(mirror, principal, upload)


def _receive(mirror: Mirror, principal: Principal, upload: Upload | None, remote: RemoteBytes) -> Upload:
    """Append what arrives.  A file that is not the one of before is begun anew."""
    file = mirror.file
    _check_size(file, remote.total)
    same = upload is not None and remote.offset == upload.offset and remote.total == upload.size
    if not same or mirror.validator != remote.validator:
        if upload is not None:
            abort_upload(principal=principal, upload_id=upload.pk)
        if remote.offset:
            mirror.upload, mirror.validator = None, ""
            mirror.save(update_fields=["upload", "validator", "updated_at"])
            raise Unavailable(
                "The file changed while it was fetched; it is begun anew.", facts={"address": file.address}
            )
        upload = open_upload(
            principal=principal, team=file.version.repository.team, size=remote.total, filename=file.path
        )
        mirror.upload, mirror.validator = upload, remote.validator
        mirror.save(update_fields=["upload", "validator", "updated_at"])
    assert upload is not None  # noqa: S101  for the type checker
    while upload.offset < upload.size:
        length = min(PART_BYTES, upload.size - upload.offset)
        before = upload.offset
        part = Part(offset=before, stream=remote, length=length)
        upload = append_to_upload(principal=principal, upload_id=upload.pk, part=part)
        if upload.offset - before < length:
            break
    return upload


def _check_size(file: VersionFile, total: int) -> None:
    if file.declared_size is not None and total != file.declared_size:
        raise IntegrityError(
            f"{file.address} has {total} bytes; its catalogue says {file.declared_size}.",
            hint="The file was replaced, or the catalogue is wrong.",
            facts={"size": total},
        )
    limit = settings.ZOO_MIRROR_LIMIT_BYTES
    if total > limit:
        raise TooLarge(
            f"{file.address} has {total} bytes, more than the limit of {limit}.",
            hint="The operators set it with ZOO_MIRROR_LIMIT_GIB.",
            facts={"size": total},
        )


def _finish(mirror: Mirror, principal: Principal, upload: Upload) -> Blob:
    """Check the whole, keep it as the file's bytes for ever, and say so."""
    file = mirror.file
    digest = _digest(upload)
    try:
        _check_digest(file, digest)
        done = complete_upload(principal=principal, upload_id=upload.pk, sha256=digest)
        blob = done.blob
        assert blob is not None  # noqa: S101  complete uploads have one
        _check_format(file, blob)
    except InvalidInput:
        abort_upload(principal=principal, upload_id=upload.pk)
        Mirror.objects.filter(pk=mirror.pk).update(upload=None, validator="")
        raise
    with transaction.atomic():
        use_blob(digest)
        if VersionFile.objects.filter(pk=file.pk, blob=None).update(blob=blob) != 1:
            raise IntegrityError(f"{file.path} got other bytes meanwhile.")
        Mirror.objects.filter(pk=mirror.pk).update(
            state=Mirror.State.DONE, tries=0, error="", error_code="", updated_at=timezone.now()
        )
        details = {"path": file.path, "address": file.address, "sha256": digest, "size": blob.size}
        team = file.version.repository.team.name
        record_event(actor=principal, action="file.mirrored", subject=file.version, team=team, details=details)
    return blob


def _digest(upload: Upload) -> str:
    if upload.blob_id is not None:  # completed before, and then the process was stopped
        return upload.blob_id
    state = sha256()
    with blob_store().session(upload.pk) as session:
        for piece in session.pieces():
            state.update(piece)
    return f"sha256:{state.hexdigest()}"


def _check_digest(file: VersionFile, digest: str) -> None:
    """What the catalogue declares; else what the address gave when it was fetched first, for whomever."""
    if file.declared_sha256:
        if digest != file.declared_sha256:
            raise IntegrityError(
                f"{file.address} has the digest {digest}; its catalogue says {file.declared_sha256}.",
                hint="The file was replaced, or the catalogue is wrong. Nothing was kept.",
                facts={"sha256": digest},
            )
        return
    others = VersionFile.objects.filter(address=file.address, declared_sha256="", blob__isnull=False)
    if others.exclude(blob=digest).exists():
        raise IntegrityError(
            f"{file.address} gives other bytes ({digest}) than when it was fetched first.",
            hint="If the new file is meant, declare its sha256 in the catalogue. Nothing was kept.",
            facts={"sha256": digest},
        )


def _check_format(file: VersionFile, blob: Blob) -> None:
    if file.artifact is None:
        return
    files = list(file.artifact.files.all())
    description = ArtifactDescription(format=file.artifact.format, files=tuple(item.path for item in files))
    check_fits(description, [blob if item.pk == file.pk else None for item in files])


def _requester(mirror: Mirror) -> Principal:
    user = mirror.requested_by
    if not user.is_active:
        raise PermissionDenied(f"The account {user.username!r}, which asked for it, is closed.")
    return Principal(
        name=user.username,
        user_id=user.pk,
        scopes=frozenset(Scope(scope) for scope in mirror.scopes),
        is_superuser=user.is_superuser,
    )


def _note_failure(mirror: Mirror, error: ZooError, before: int) -> None:
    """Try again later what may pass; what came forward counts as a first try."""
    mirror.refresh_from_db(fields=["upload"])
    offset = mirror.upload.offset if mirror.upload else 0
    tries = 1 if offset - before >= LEAST_PROGRESS else mirror.tries + 1
    again = error.retryable and tries < MAX_TRIES
    wait = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
    Mirror.objects.filter(pk=mirror.pk).update(
        state=Mirror.State.QUEUED if again else Mirror.State.FAILED,
        tries=tries,
        due_at=timezone.now() + wait,
        error_code=error.code,
        error=str(error)[:2000],
        updated_at=timezone.now(),
    )
