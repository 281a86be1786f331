"""Deleting versions and repositories: taken back within a time of grace, afterwards a tombstone that keeps the lineage.

A deleted version keeps its number and description, and is found by its number; it is not listed, not the newest one, no
alias can point to it, no job takes it, and its files answer 410.  When the time is over, a chore lets go of its files,
whose bytes the collector (:mod:`zoo_server.artifacts.collection`) then removes if nothing else refers to them.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.utils import timezone

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.artifacts.models import Blob
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Deletion, Mirror, Repository, Version, VersionFile
from zoo_server.catalog.selectors.keeping import Obstacle, obstacles, used_now
from zoo_server.catalog.services.authorisation import locked_version, require
from zoo_server.rest.principals import SYSTEM, Principal

MAX_REASON = 5000
SHOWN_OBSTACLES = 3


def discard_version(*, principal: Principal, version: Version, reason: str = "") -> Deletion:
    """Delete a sealed version; it can be restored for ``ZOO_DELETION_DAYS``.

    Raises:
        Conflict: it is a draft, deleted already, approved, pinned, in use, or an alias points to it.

    """
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    _check_reason(reason)
    with transaction.atomic():
        current = locked_version(version)
        refuse_deleted(current)
        if current.state == VersionState.DRAFT:
            raise Conflict(
                f"{current} is a draft, which has no history to keep.",
                hint="DELETE removes it at once; so does `zoo delete`.",
                facts={"state": current.state},
            )
        obstacle = obstacles(Version.objects.filter(pk=current.pk)).get(current.pk)
        if obstacle is not None:
            raise _refusal(current, obstacle)
        deletion = Deletion.objects.create(
            version=current, reason=reason, deleted_by_id=principal.user_id, restorable_until=_end_of_grace()
        )
        _record(principal, "version.deleted", current, deletion)
    return deletion


def restore_version(*, principal: Principal, version: Version) -> None:
    """Take a deletion back.

    Raises:
        Conflict: the version is not deleted, was deleted with its repository, or its time is over.

    """
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    with transaction.atomic():
        deletion = Deletion.objects.select_for_update().filter(version=version).first()
        if deletion is not None and deletion.whole_id is not None and deletion.buried_at is None:
            raise Conflict(
                f"{version} was deleted with all of {version.repository}.",
                hint=f"Restore the whole: `zoo restore {version.repository} --whole`.",
            )
        _check_restorable(deletion, version).delete()
        record_event(actor=principal, action="version.restored", subject=version, team=version.repository.team.name)


def discard_repository(*, principal: Principal, repository: Repository, reason: str = "") -> Deletion:
    """Delete a model or data set with all its versions; drafts go too.  Its name stays taken.

    Raises:
        Conflict: it is deleted already, or one of its versions may not be deleted.

    """
    require(principal=principal, repository=repository, scope=Scope.CURATE)
    _check_reason(reason)
    with transaction.atomic():
        Repository.objects.select_for_update(no_key=True).get(pk=repository.pk)
        refuse_deleted_repository(repository)
        rows = Version.objects.select_for_update(no_key=True, of=("self",)).filter(repository=repository)
        versions = list(rows.filter(deletion=None).select_related("repository__team").order_by("number"))
        _refuse_obstacles(repository, versions)
        whole = Deletion.objects.create(
            repository=repository, reason=reason, deleted_by_id=principal.user_id, restorable_until=_end_of_grace()
        )
        for version in versions:
            Deletion.objects.create(
                version=version,
                whole=whole,
                reason=reason,
                deleted_by_id=principal.user_id,
                restorable_until=whole.restorable_until,
            )
        _record(principal, "repository.deleted", repository, whole, versions=[version.number for version in versions])
    return whole


def restore_repository(*, principal: Principal, repository: Repository) -> None:
    """Take the deletion of a repository back, and of the versions that were deleted with it.

    Raises:
        Conflict: it is not deleted, or its time is over.

    """
    require(principal=principal, repository=repository, scope=Scope.CURATE)
    with transaction.atomic():
        deletion = Deletion.objects.select_for_update().filter(repository=repository).first()
        parts = list(Deletion.objects.select_for_update().filter(whole=deletion)) if deletion else []
        for part in parts:
            _check_restorable(part, repository)
        _check_restorable(deletion, repository).delete()  # and with it its parts
        record_event(actor=principal, action="repository.restored", subject=repository, team=repository.team.name)


def bury_due(*, now: datetime | None = None, limit: int = 1000) -> int:
    """Make tombstones of deleted versions whose time is over, and of repositories all of whose versions are; how many.

    One that is in use again stays as it is until that has ended.
    """
    due = Deletion.objects.filter(buried_at=None, restorable_until__lte=now or timezone.now())
    ids = list(due.exclude(version=None).order_by("restorable_until").values_list("pk", flat=True)[:limit])
    buried = sum(_bury_version(pk) for pk in ids)
    ended = due.exclude(repository=None).exclude(pk__in=due.exclude(whole=None).values("whole"))
    repositories = Repository.objects.filter(deletion__in=ended).select_related("team", "deletion")
    for repository in repositories[:limit]:
        with transaction.atomic():
            _bury(repository.deletion, repository, "repository.buried")
        buried += 1
    return buried


def refuse_deleted(version: Version) -> None:
    """Raise :class:`Conflict` for a version that was deleted.  Call it after the version's row was locked."""
    deletion = Deletion.objects.filter(version=version).first()
    if deletion is not None:
        raise deleted_conflict(version, deletion)


def refuse_deleted_repository(repository: Repository) -> None:
    """Raise :class:`Conflict` for a repository that was deleted.  Call it after its row was locked."""
    deletion = Deletion.objects.filter(repository=repository).first()
    if deletion is not None:
        raise deleted_conflict(repository, deletion)


def deleted_conflict(subject: Version | Repository, deletion: Deletion) -> Conflict:
    """The error for who wants to change something that is deleted."""
    if deletion.buried_at is not None:
        return Conflict(
            f"{subject} was deleted on {deletion.deleted_at:%Y-%m-%d}, and only its history is left.",
            hint="Make a new version, or choose another name.",
            facts={"deleted": "tombstone"},
        )
    return Conflict(
        f"{subject} was deleted on {deletion.deleted_at:%Y-%m-%d}.",
        hint=f"It can be restored until {deletion.restorable_until:%Y-%m-%d %H:%M} UTC: `zoo restore`.",
        facts={"deleted": "restorable"},
    )


def _check_restorable(deletion: Deletion | None, subject: Version | Repository) -> Deletion:
    if deletion is None:
        raise Conflict(f"{subject} is not deleted.")
    if deletion.buried_at is not None:
        raise deleted_conflict(subject, deletion)
    return deletion


def _refuse_obstacles(repository: Repository, versions: list[Version]) -> None:
    found = obstacles(Version.objects.filter(pk__in=[version.pk for version in versions]))
    blocked = [version for version in versions if version.pk in found]
    if not blocked:
        return
    told = [f"{version} {found[version.pk].reason}" for version in blocked[:SHOWN_OBSTACLES]]
    more = f", and {len(blocked) - len(told)} more" if len(blocked) > len(told) else ""
    raise Conflict(
        f"{repository} cannot be deleted: {'; '.join(told)}{more}.",
        hint=found[blocked[0].pk].remedy,
        facts={"versions": [version.number for version in blocked[:100]]},
    )


def _refusal(version: Version, obstacle: Obstacle) -> Conflict:
    return Conflict(f"{version} cannot be deleted: it {obstacle.reason}.", hint=obstacle.remedy)


def _bury_version(deletion_id: UUID) -> bool:
    with transaction.atomic():
        rows = Deletion.objects.select_for_update(of=("self",)).select_related("version__repository__team")
        deletion = rows.filter(pk=deletion_id, buried_at=None).first()
        if deletion is None or deletion.version is None:
            return False  # restored meanwhile
        version = deletion.version
        if used_now(Version.objects.filter(pk=version.pk)):
            return False
        files = VersionFile.objects.filter(version=version, blob__isnull=False)
        released = _size_of(files)
        _bury(deletion, version, "version.buried", size=released, digest=version.digest)
        size = Blob.objects.filter(pk=OuterRef("blob_id")).values("size")
        files.update(declared_sha256=F("blob_id"), declared_size=Subquery(size), blob=None)
        Mirror.objects.filter(file__version=version).delete()
    return True


def _bury(deletion: Deletion, subject: Version | Repository, action: str, **details: object) -> None:
    deletion.buried_at = timezone.now()
    deletion.save(update_fields=["buried_at"])
    _record(SYSTEM, action, subject, deletion, **details)


def _size_of(files: QuerySet[VersionFile]) -> int:
    return sum(files.values_list("blob__size", flat=True))


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason is longer than {MAX_REASON} characters.", facts={"field": "reason"})


def _end_of_grace() -> datetime:
    return timezone.now() + timedelta(days=settings.ZOO_DELETION_DAYS)


def _record(
    principal: Principal, action: str, subject: Version | Repository, deletion: Deletion, **details: object
) -> None:
    team = subject.repository.team if isinstance(subject, Version) else subject.team
    told = {"reason": deletion.reason, "restorable_until": deletion.restorable_until.isoformat(), **details}
    record_event(actor=principal, action=action, subject=subject, team=team.name, details=told)
