"""A story as the body of its route."""

from collections.abc import Mapping
from uuid import UUID

from zoo_server.catalog.models import LineageEdge, Version
from zoo_server.catalog.selectors.lineage import HIDDEN
from zoo_server.provenance.api import answers
from zoo_server.provenance.models import ImportedVersion
from zoo_server.provenance.story import Chapter, Story, decisions_of

Origins = Mapping[UUID, ImportedVersion]


def tell(story: Story, origins: Origins) -> answers.ProvenanceAnswer:
    """The whole story; ``origins``: where those of its versions come from that were imported."""
    return answers.ProvenanceAnswer(
        root=story.chapters[0].version.pk,
        versions=[_tell_version(chapter, origins) for chapter in story.chapters],
        edges=[_tell_edge(edge) for edge in story.edges],
        truncated=story.truncated,
    )


def _tell_version(chapter: Chapter, origins: Origins) -> answers.StoryVersionAnswer:
    version, attestation = chapter.version, chapter.attestation
    return answers.StoryVersionAnswer(
        id=version.pk,
        reference=str(version),
        kind=version.repository.kind,
        state=version.state,
        digest=version.digest,
        created_by=version.created_by.username if version.created_by else "system",
        created_at=version.created_at,
        sealed_at=version.sealed_at,
        step=_tell_step(version),
        job=_tell_job(chapter),
        metrics=[
            answers.StoryMetricAnswer(name=item.name, value=item.value, source=item.source, split=item.split)
            for item in chapter.metrics
        ],
        decisions=[answers.DecisionAnswer(**decision) for decision in decisions_of(chapter)],
        attested_by=attestation.key_id if attestation else None,
        attested_at=attestation.created_at if attestation else None,
        origin=_tell_origin(origins.get(version.pk)),
    )


def _tell_origin(row: ImportedVersion | None) -> answers.StoryOriginAnswer | None:
    if row is None:
        return None
    return answers.StoryOriginAnswer(
        registry=row.registry,
        reference=row.foreign_reference,
        id=row.foreign_id,
        digest=row.foreign_digest,
        key=row.key,
        vouched_by=row.vouched_by,
    )


def _tell_step(version: Version) -> answers.StoryStepAnswer | None:
    steps = list(version.strategy.all())
    if not steps:
        return None
    return answers.StoryStepAnswer(kind=steps[-1].kind, method=steps[-1].method, operation=steps[-1].operation or None)


def _tell_job(chapter: Chapter) -> answers.StoryJobAnswer | None:
    if chapter.version.job_id is None:
        return None
    if chapter.job is None:
        return answers.StoryJobAnswer(id=chapter.version.job_id)
    job = chapter.job
    attempt = next((item for item in job.attempts.all() if item.number == job.attempt), None)
    step = getattr(job, "pipeline_step", None)
    return answers.StoryJobAnswer(
        id=job.pk,
        operation=job.operation.name,
        operation_version=job.operation.version,
        params=job.params,
        seed=job.seed,
        by=job.created_by.username,
        worker=attempt.worker_name if attempt else None,
        attempt=job.attempt,
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at,
        cached_from=job.cached_from_id,
        recipe=step.pipeline.name if step else None,
        step=step.key if step else None,
    )


def _tell_edge(edge: LineageEdge) -> answers.StoryEdgeAnswer:
    reference = str(edge.parent) if edge.parent else HIDDEN if edge.parent_id else None
    return answers.StoryEdgeAnswer(
        child=edge.child_id,
        parent=str(edge.parent_id or edge.external_uri),
        reference=reference,
        role=edge.role,
        weight=edge.weight,
    )
