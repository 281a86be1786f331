"""Reading stored bytes again, a share every day, and setting apart what is not what its digest says."""

from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from time import monotonic

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from zoo_sdk.errors import Unavailable
from zoo_server.artifacts.models import Blob
from zoo_server.artifacts.selectors import blob_store
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal

READ = 2**20


@dataclass
class Scrubbed:
    """How many blobs (and bytes) were read, and the digests of those that are damaged or gone."""

    sound: int = 0
    size: int = 0
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def scrub(*, principal: Principal, share: float = 0.05, seconds: float | None = None) -> Scrubbed:
    """Hash the ``share`` of all blobs that was not verified for longest; at most for ``seconds``.

    Damaged bytes are moved aside (``quarantine/``) and the blob is ``quarantined``: its downloads answer 503 instead of
    wrong bytes.  An upload of the right bytes heals it, as it heals one whose bytes are gone.
    """
    deadline = monotonic() + seconds if seconds is not None else None
    done = Scrubbed()
    rows = Blob.objects.exclude(state=Blob.State.DELETING)
    wanted = max(1, round(rows.count() * share))
    oldest = rows.order_by(F("verified_at").asc(nulls_first=True), "created_at", "pk")
    for blob in oldest.only("sha256", "size", "state", "version")[:wanted]:
        if deadline is not None and monotonic() > deadline:
            break
        _scrub(principal, blob, done)
    return done


def _scrub(principal: Principal, blob: Blob, done: Scrubbed) -> None:
    try:
        found, size = _read(blob.sha256)
    except Unavailable:
        found, size = "", 0
    if found == blob.sha256 and size == blob.size:
        done.sound, done.size = done.sound + 1, done.size + size
        fields = {"state": Blob.State.NONE} if blob.state == Blob.State.QUARANTINED else {}
        Blob.objects.filter(pk=blob.pk, version=blob.version).update(verified_at=Now(), **fields)
        return
    if not Blob.objects.filter(pk=blob.pk).exclude(state=Blob.State.DELETING).exists():
        return  # it was collected meanwhile
    if found:
        blob_store().quarantine(blob.sha256)
        done.damaged = (*done.damaged, blob.sha256)
    else:
        done.missing = (*done.missing, blob.sha256)
    with transaction.atomic():
        changed = Blob.objects.filter(pk=blob.pk).exclude(state=Blob.State.DELETING)
        changed.update(state=Blob.State.QUARANTINED, version=F("version") + 1, verified_at=Now())
        if blob.state != Blob.State.QUARANTINED:
            details = {"found": found or None, "size": size}
            record_event(actor=principal, action="blob.quarantined", subject=blob, details=details)


def _read(sha256: str) -> tuple[str, int]:
    state, size = new_sha256(), 0
    with blob_store().open(sha256) as stream:
        while piece := stream.read(READ):
            state.update(piece)
            size += len(piece)
    return f"sha256:{state.hexdigest()}", size
