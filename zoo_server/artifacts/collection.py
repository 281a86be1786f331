"""Garbage collection of blobs that nothing refers to, beside a registry that goes on working: nothing is ever paused.

``Blob.state`` moves by compare-and-set, each step with a new ``version``::

    none -> delete          nothing refers to it, and nobody touched it within the grace window
    delete -> none          somebody uses it after all (:func:`use_blob`)
    delete -> deleting      it is still untouched and unreferenced: its bytes go, then its row
    quarantined             its bytes were found damaged (:mod:`zoo_server.artifacts.scrubbing`)

Whoever is about to refer to a blob calls :func:`use_blob` in the same transaction: that locks the row until the
reference is committed, so a collector that looked before finds another version, and one that looks later finds the
reference.  A collector that died leaves ``deleting`` rows, which the next one finishes.  After Harbor's blob collector.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Value, When
from django.db.models.functions import Now

from zoo_sdk.errors import Conflict, Unavailable
from zoo_server.artifacts.models import Blob, Holding, Upload
from zoo_server.artifacts.selectors import blob_store
from zoo_server.artifacts.store import BlobStore
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal

GRACE = timedelta(hours=24)
"""How long a blob that nothing refers to is left alone after it was last uploaded or used."""
COLLECTOR_LOCK = 0x5A6F_6F47
"""Key of the advisory lock under which garbage is collected ("ZooG")."""


@dataclass(frozen=True)
class Collected:
    """What a collection did, or would do: blobs and their bytes."""

    blobs: int = 0
    size: int = 0


def use_blob(sha256: str) -> None:
    """Say that the blob is about to be referred to, in the transaction that does it.

    Raises:
        Unavailable: it is just being removed; uploading it (again) brings it back.

    """
    used = Blob.objects.filter(pk=sha256).exclude(state=Blob.State.DELETING)
    if not used.update(state=_unless_quarantined(), version=F("version") + 1, touched_at=Now()):
        raise Unavailable(
            f"{sha256} is just being removed, because nothing referred to it.",
            hint="Upload it again.",
            facts={"sha256": sha256},
        )


def collect_garbage(
    *, principal: Principal, grace: timedelta = GRACE, dry_run: bool = False, limit: int | None = None
) -> Collected:
    """Remove blobs that nothing refers to; at most ``limit``.  ``dry_run``: only say how many.

    Raises:
        Conflict: another collector is at work.

    """
    if dry_run:
        found = list(_garbage(Blob.objects.exclude(state=Blob.State.DELETING), grace).values_list("size", flat=True))
        return Collected(len(found), sum(found))
    with _alone():
        mark(grace=grace)
        blobs = size = 0
        rows = Blob.objects.filter(state__in=[Blob.State.DELETE, Blob.State.DELETING]).order_by("sha256")
        for blob in rows.only("sha256", "size", "state", "version").iterator(chunk_size=500):
            if limit is not None and blobs >= limit:
                break
            if sweep(principal=principal, blob=blob, grace=grace):
                blobs, size = blobs + 1, size + blob.size
        return Collected(blobs, size)


def mark(*, grace: timedelta) -> int:
    """``none -> delete`` for what nothing refers to; answers how many."""
    rows = _garbage(Blob.objects.filter(state=Blob.State.NONE), grace)
    return rows.update(state=Blob.State.DELETE, version=F("version") + 1)


def sweep(*, principal: Principal, blob: Blob, grace: timedelta) -> bool:
    """Remove a marked blob as it was seen; False if it was used meanwhile."""
    if not condemn(blob=blob, grace=grace):
        return False
    remove_bytes(blob_store(), blob)
    forget(principal=principal, blob=blob)
    return True


def condemn(*, blob: Blob, grace: timedelta) -> bool:
    """``delete -> deleting``, unless it was used since ``blob`` was read."""
    if blob.state == Blob.State.DELETING:
        return True  # of a collector that died
    rows = _garbage(Blob.objects.filter(pk=blob.pk, state=Blob.State.DELETE, version=blob.version), grace)
    if not rows.update(state=Blob.State.DELETING, version=F("version") + 1):
        return False
    blob.state = Blob.State.DELETING
    return True


def remove_bytes(store: BlobStore, blob: Blob) -> None:
    """First the bytes: a row without bytes is found and finished later, bytes without a row are not."""
    store.remove(blob.sha256)


def forget(*, principal: Principal, blob: Blob) -> None:
    """Then the row, with the possessions and the uploads that are long over."""
    with transaction.atomic():
        Upload.objects.filter(blob=blob.pk).update(blob=None)
        details = {"size": blob.size}
        record_event(actor=principal, action="blob.collected", subject=blob, details=details)
        Blob.objects.filter(pk=blob.pk, state=Blob.State.DELETING).delete()


def _garbage(rows: QuerySet[Blob], grace: timedelta) -> QuerySet[Blob]:
    """Those that nobody touched within ``grace`` and nothing refers to: no row of any table but possessions.

    The tables of other apps are found by their foreign keys.  A completed upload counts until it expires: its bytes
    may still be put into a version.
    """
    rows = rows.filter(touched_at__lt=Now() - grace)
    for relation in Blob._meta.related_objects:
        model = relation.related_model
        if model is Holding:
            continue
        referring = model._default_manager.filter(  # noqa: SLF001  Django's documented name
            **{relation.field.name: OuterRef("pk")}
        )
        if model is Upload:
            referring = referring.filter(expires_at__gt=Now())
        rows = rows.exclude(Exists(referring))
    return rows


def _unless_quarantined() -> Case:
    return Case(When(state=Blob.State.QUARANTINED, then=F("state")), default=Value(Blob.State.NONE.value))


@contextmanager
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [COLLECTOR_LOCK])
        if not cursor.fetchone()[0]:
            raise Conflict("Another process is collecting garbage.", hint="Wait for it to end.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [COLLECTOR_LOCK])
