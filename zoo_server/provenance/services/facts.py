"""Everything that the statements about some versions are made from, read in a fixed number of queries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Prefetch

from zoo_sdk.artifacts import FileEntry
from zoo_server.catalog.models import LineageEdge, Version, VersionFile
from zoo_server.jobs.models import Job, JobAttempt, JobInput
from zoo_server.pipelines.models import PipelineStep
from zoo_server.provenance.bundles.records import imports_of
from zoo_server.provenance.models import ImportedVersion


@dataclass
class Facts:
    """A version with its parents, the job that made it, the step of a recipe that the job was, or where it came from.

    ``files``: those whose digest is known; ``unknown``: the paths of remote files of which no digest is known yet.
    """

    version: Version
    files: list[FileEntry] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    edges: Sequence[LineageEdge] = ()
    job: Job | None = None
    attempt: JobAttempt | None = None
    inputs: Sequence[JobInput] = ()
    step: PipelineStep | None = None
    imported: ImportedVersion | None = None

    @property
    def complete(self) -> bool:
        """Whether the digest of every file is known."""
        return not self.unknown


def facts_of(version_ids: Collection[UUID]) -> list[Facts]:
    """The facts about these versions; drafts are left out."""
    edges = LineageEdge.objects.select_related("parent__repository").order_by("id")
    rows = Version.objects.filter(pk__in=version_ids).exclude(sealed_at=None)
    versions = rows.select_related("repository__team", "created_by").prefetch_related(
        "strategy", Prefetch("parent_edges", edges)
    )
    jobs = _jobs({version.job_id for version in versions if version.job_id})
    imports = imports_of(version_ids)
    found = {}
    for version in versions:
        job = jobs.get(version.job_id) if version.job_id else None
        facts = Facts(version, edges=list(version.parent_edges.all()), job=job, imported=imports.get(version.pk))
        if job:
            facts.attempt = next((item for item in job.attempts.all() if item.number == job.attempt), None)
            facts.inputs = list(job.inputs.all())
            facts.step = getattr(job, "pipeline_step", None)
        found[version.pk] = facts
    _add_files(found)
    return list(found.values())


def _jobs(job_ids: Collection[UUID]) -> Mapping[UUID, Job]:
    if not job_ids:
        return {}
    rows = Job.objects.filter(pk__in=job_ids).select_related("operation", "created_by", "pipeline_step__pipeline")
    inputs = JobInput.objects.select_related("version", "artifact").order_by("port", "position")
    return {job.pk: job for job in rows.prefetch_related("attempts", Prefetch("inputs", inputs))}


def _add_files(found: Mapping[UUID, Facts]) -> None:
    names = ("version_id", "path", "blob_id", "blob__size", "declared_sha256", "declared_size")
    rows = VersionFile.objects.filter(version__in=found).order_by("path").values_list(*names)
    for version_id, path, blob, size, declared, declared_size in rows.iterator(chunk_size=5000):
        digest = blob or declared
        if digest:
            entry = FileEntry.model_construct(path=path, sha256=digest, size=size or declared_size or 0)
            found[version_id].files.append(entry)
        else:
            found[version_id].unknown.append(path)
