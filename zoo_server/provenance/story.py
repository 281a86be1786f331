"""The whole story of a version: every ancestor that the caller may see, the jobs between them, and who decided what.

Read in a fixed number of queries.  Jobs are told as far as the caller may see them: of another team's job only the id,
which the version's own description shows as well.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Prefetch

from zoo_sdk.vocabulary import VersionState
from zoo_server.catalog.models import AliasMove, LineageEdge, Metric, StateChange, Version
from zoo_server.catalog.selectors import visible_versions
from zoo_server.jobs.models import Job
from zoo_server.jobs.selectors import visible_jobs
from zoo_server.provenance.models import Attestation
from zoo_server.provenance.selectors import MAX_ANCESTORS, ancestor_ids, good_attestations
from zoo_server.rest.principals import Principal

MAX_METRICS = 50
"""Of each version: the newest value of so many metrics."""
MAX_MOVES = 50


@dataclass(frozen=True)
class Chapter:
    """One version of the story."""

    version: Version
    job: Job | None
    metrics: list[Metric]
    moves: list[AliasMove]
    attestation: Attestation | None


@dataclass(frozen=True)
class Story:
    """The version asked for first, then its ancestors, the nearest first.  ``truncated``: there are more."""

    chapters: list[Chapter]
    edges: list[LineageEdge]
    truncated: bool


def story_of(*, principal: Principal, version: Version) -> Story:
    """The story of ``version`` as the caller may see it."""
    found = ancestor_ids(principal=principal, version=version, limit=MAX_ANCESTORS + 1)
    order = [version.pk, *found[:MAX_ANCESTORS]]
    seen = Version.objects.filter(pk__in=visible_versions(principal=principal).values("pk"))
    edges = LineageEdge.objects.order_by("id").prefetch_related(
        Prefetch("parent", seen.select_related("repository__team"))
    )
    told = ("repository__team", "created_by", "deletion__deleted_by")
    rows = Version.objects.select_related(*told).prefetch_related(
        "strategy",
        Prefetch("parent_edges", edges),
        Prefetch("state_changes", StateChange.objects.select_related("changed_by").order_by("id")),
    )
    versions = rows.in_bulk(order)
    jobs = _jobs(principal, [row.job_id for row in versions.values() if row.job_id])
    metrics, moves, attestations = _metrics(order), _moves(order), _attestations(order)
    chapters = [
        Chapter(
            versions[pk],
            jobs.get(versions[pk].job_id) if versions[pk].job_id else None,
            metrics.get(pk, []),
            moves.get(pk, []),
            attestations.get(pk),
        )
        for pk in order
    ]
    shown = [edge for chapter in chapters for edge in chapter.version.parent_edges.all()]
    return Story(chapters, shown, truncated=len(found) > MAX_ANCESTORS)


def _jobs(principal: Principal, job_ids: Collection[UUID]) -> Mapping[UUID | None, Job]:
    rows = visible_jobs(principal=principal).filter(pk__in=job_ids).select_related("pipeline_step__pipeline")
    return {job.pk: job for job in rows.prefetch_related("attempts")}


def _metrics(version_ids: Collection[UUID]) -> dict[UUID, list[Metric]]:
    """The newest value of each metric, reported and measured."""
    rows = Metric.objects.filter(version__in=version_ids)
    newest = rows.order_by("version_id", "name", "source", "-id").distinct("version_id", "name", "source")
    return _grouped(newest, MAX_METRICS)


def _moves(version_ids: Collection[UUID]) -> dict[UUID, list[AliasMove]]:
    """Who pointed which alias to these versions."""
    rows = AliasMove.objects.filter(after__in=version_ids).select_related("moved_by").order_by("id")
    return _grouped(rows, MAX_MOVES, by="after_id")


def _attestations(version_ids: Collection[UUID]) -> dict[UUID, Attestation]:
    rows = good_attestations(version_ids).filter(kind="provenance").defer("payload", "signature")
    return {row.version_id: row for row in rows}


def _grouped(rows: Iterable[Any], limit: int, *, by: str = "version_id") -> dict[UUID, list[Any]]:
    groups: dict[UUID, list[Any]] = {}
    for row in rows:
        group = groups.setdefault(getattr(row, by), [])
        if len(group) < limit:
            group.append(row)
    return groups


def decisions_of(chapter: Chapter) -> list[dict[str, Any]]:
    """What people decided about the version, in the order of time: sealed, approved ..., aliases, deleted."""
    changes = [
        {
            "what": "sealed" if change.after == VersionState.CANDIDATE else change.after,
            "by": change.changed_by.username if change.changed_by else "system",
            "at": change.changed_at,
            "comment": change.comment,
        }
        for change in chapter.version.state_changes.all()
    ]
    moves = [
        {
            "what": f"alias @{move.name}",
            "by": move.moved_by.username if move.moved_by else "system",
            "at": move.moved_at,
            "comment": "",
        }
        for move in chapter.moves
    ]
    return sorted([*changes, *moves, *_deletion_of(chapter.version)], key=lambda item: item["at"])


def _deletion_of(version: Version) -> list[dict[str, Any]]:
    deletion = getattr(version, "deletion", None)
    if deletion is None:
        return []
    by = deletion.deleted_by.username if deletion.deleted_by else "system"
    steps = [{"what": "deleted", "by": by, "at": deletion.deleted_at, "comment": deletion.reason}]
    if deletion.buried_at is not None:
        steps.append({"what": "tombstone: files gone", "by": "system", "at": deletion.buried_at, "comment": ""})
    return steps
