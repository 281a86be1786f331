"""Reading uploads and blobs, as far as the caller may."""

from uuid import UUID

from django.conf import settings
from django.db.models import Q, Sum

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import administers_server, of_own_teams, require_in_team
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.artifacts.s3_store import S3Store
from zoo_server.artifacts.store import BlobStore, LocalStore
from zoo_server.rest.principals import Principal


def blob_store() -> BlobStore:
    """The store that the settings name."""
    local = LocalStore(settings.ZOO_STORE_DIR)
    return local if settings.ZOO_S3 is None else S3Store(settings.ZOO_S3, local)


def upload_for(*, principal: Principal, upload_id: UUID) -> Upload:
    """The upload session, for a member of its team; one bound to an attempt belongs to the worker that opened it.

    Raises:
        NotFound: no such session, or the caller may not know of it.
        PermissionDenied: a member of its team without the scope ``add``.

    """
    seen = Q(job_id=None) & of_own_teams(principal)
    if administers_server(principal):
        seen |= Q(job_id__isnull=False)
    elif principal.may(Scope.WORKER):
        seen |= Q(job_id__isnull=False, created_by_id=principal.user_id)
    upload = Upload.objects.select_related("team", "blob").filter(seen, pk=upload_id).first()
    if upload is None:
        raise NotFound(f"There is no upload {upload_id} that you may see.", hint="Open one: POST /api/v1/uploads.")
    if upload.job_id is None:
        require_in_team(principal=principal, team=upload.team, scope=Scope.ADD)
    return upload


def held_blob(*, team: Team, sha256: str) -> Blob:
    """The blob of that digest if ``team`` has proved that it possesses it.

    Knowing a digest grants nothing: the answer for a blob that only others hold is the same as for one that nobody has.
    """
    blob = Blob.objects.filter(sha256=sha256, holdings__team=team).first()
    if blob is None:
        raise NotFound(
            f"The team {team.name!r} holds no bytes with the digest {sha256}.",
            hint="Upload them first: POST /api/v1/uploads.",
            facts={"sha256": sha256},
        )
    return blob


def stored_bytes() -> int:
    """Bytes that blobs take, and that open uploads may still take."""
    blobs = Blob.objects.aggregate(total=Sum("size"))["total"] or 0
    sessions = Upload.objects.filter(state=Upload.State.OPEN).aggregate(total=Sum("size"))["total"] or 0
    return int(blobs + sessions)
