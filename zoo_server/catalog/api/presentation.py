"""Rows of the catalogue as the answers of its routes."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model
from pydantic import BaseModel

from zoo_inspection.findings import SEVERITIES
from zoo_inspection.telling import in_short
from zoo_sdk.measures import MEASURES
from zoo_server.accounts.models import User
from zoo_server.artifacts.models import Blob
from zoo_server.catalog.api.answers import (
    AliasAnswer,
    AliasMoveAnswer,
    ArtifactAnswer,
    DeletionAnswer,
    FileAnswer,
    HolderAnswer,
    InspectionAnswer,
    MetricAnswer,
    MirrorAnswer,
    ParentAnswer,
    PinAnswer,
    RepositoryAnswer,
    StateChangeAnswer,
    StepAnswer,
    VersionAnswer,
)
from zoo_server.catalog.facts import contradictions
from zoo_server.catalog.models import (
    Alias,
    AliasMove,
    Artifact,
    LineageEdge,
    Metric,
    Repository,
    StrategyStep,
    Version,
    VersionFile,
)
from zoo_server.catalog.selectors.lineage import HIDDEN
from zoo_server.rest.pagination import Page
from zoo_server.rest.principals import SYSTEM

FILES_WITH_FACTS = 32
"""Of a version's description: the other files' facts have a route of their own."""
RowT = TypeVar("RowT", bound=Model)


def page_answer(page: Page[RowT], describe: Callable[[RowT], BaseModel]) -> dict[str, Any]:
    """The body of a list route."""
    return page.answer(lambda row: describe(row).model_dump(mode="json"))


def _author(user: User | None) -> str:
    return user.username if user else SYSTEM.name


def describe_repository(repository: Repository) -> RepositoryAnswer:
    """A repository of :func:`zoo_server.catalog.selectors.described` rows."""
    plain = ("id", "kind", "name", "title", "task", "architecture", "licence", "tags", "visibility", "card")
    return RepositoryAnswer(
        **{name: getattr(repository, name) for name in plain},
        team=repository.team.name,
        full_name=str(repository),
        card_metadata=repository.card_metadata,
        created_by=_author(repository.created_by),
        created_at=repository.created_at,
        updated_at=repository.updated_at,
        latest=repository.latest,  # type: ignore[attr-defined]
        aliases={alias.name: alias.version.number for alias in repository.aliases.all()},
        deletion=_describe_deletion(repository),
    )


def _describe_deletion(subject: Repository | Version) -> DeletionAnswer | None:
    deletion = getattr(subject, "deletion", None)
    if deletion is None:
        return None
    return DeletionAnswer(
        by=_author(deletion.deleted_by),
        at=deletion.deleted_at,
        reason=deletion.reason,
        restorable_until=deletion.restorable_until,
        tombstone=deletion.buried_at is not None,
    )


def _describe_pin(version: Version) -> PinAnswer | None:
    pin = getattr(version, "pin", None)
    return PinAnswer(by=_author(pin.pinned_by), at=pin.pinned_at, reason=pin.reason) if pin else None


def describe_file(file: VersionFile, *, with_facts: bool = True) -> FileAnswer:
    """A file with its blob, its mirror and the mirror's upload."""
    blob = file.blob
    return FileAnswer(
        path=file.path,
        sha256=blob.sha256 if blob else file.declared_sha256 or None,
        size=_size(file),
        format=blob.format if blob else None,
        facts=in_short(_facts(file)) if blob and with_facts else None,
        findings=blob.findings if blob else [],
        mirrored=blob is not None,
        address=file.address or None,
        label=file.label or None,
        mirror=describe_mirror(file) if file.address else None,
    )


def describe_files(files: list[VersionFile]) -> list[FileAnswer]:
    """The files of a version, facts only of the first that have some."""
    left = FILES_WITH_FACTS
    told = []
    for file in files:
        has_facts = bool(_facts(file))
        told.append(describe_file(file, with_facts=left > 0 or not has_facts))
        left -= has_facts
    return told


def describe_inspection(file: VersionFile) -> InspectionAnswer:
    """A file of :func:`zoo_server.catalog.selectors.inspected_file`; ``NotMirrored`` while its bytes are away."""
    blob = file.held()
    artifact = file.artifact
    files = list(artifact.files.all()) if artifact else []
    is_main = bool(files) and files[0].pk == file.pk
    return InspectionAnswer(
        path=file.path,
        sha256=blob.sha256,
        size=blob.size,
        format=blob.format,
        inspector=blob.inspector,
        severity=worst_severity(blob),
        findings=blob.findings,
        facts=in_short(blob.facts),
        artifact=artifact.name if artifact else None,
        contradictions=_contradictions(artifact, file.path, blob.facts) if artifact and is_main else [],
    )


def worst_severity(blob: Blob) -> str | None:
    """The severity of a blob's worst finding; None without findings."""
    return max((finding["severity"] for finding in blob.findings), key=SEVERITIES.index, default=None)


def _facts(file: VersionFile) -> dict[str, Any]:
    """The facts of a file's bytes, without the rows of tables if the query left them out."""
    told = getattr(file, "told_facts", None)
    facts: dict[str, Any] = told if told is not None else file.blob.facts if file.blob else {}
    return facts


def _contradictions(artifact: Artifact, path: str, facts: dict[str, Any]) -> list[str]:
    return contradictions(
        path=path,
        format_name=artifact.format,
        precision=artifact.precision,
        signature=artifact.signature,
        facts=facts,
    )


def describe_mirror(file: VersionFile) -> MirrorAnswer | None:
    """How far a remote file is; None when nobody asked for it."""
    mirror = getattr(file, "mirror", None)
    if mirror is None:
        return None
    size = _size(file)
    upload = mirror.upload
    done = (size or 0) if file.blob else upload.offset if upload else 0
    return MirrorAnswer(
        state=mirror.state, done=done, total=upload.size if upload else size, error=mirror.error or None
    )


def _size(file: VersionFile) -> int | None:
    return file.blob.size if file.blob else file.declared_size


def describe_artifact(artifact: Artifact) -> ArtifactAnswer:
    """An artifact with its files and their blobs."""
    names = ("name", "format", "precision", "runtime", "signature", "preprocessing", "details")
    files = list(artifact.files.all())
    return ArtifactAnswer(
        **{name: getattr(artifact, name) for name in names},
        files=tuple(file.path for file in files),
        size=sum(_size(file) or 0 for file in files),
        mirrored=all(file.blob_id is not None for file in files),
        contradictions=_contradictions(artifact, files[0].path, _facts(files[0])) if files else [],
    )


def describe_step(step: StrategyStep) -> StepAnswer:
    """A step of a strategy."""
    return StepAnswer(
        kind=step.kind,
        method=step.method,
        parameters=step.parameters,
        operation=step.operation or None,
        job=step.job_id,
    )


def describe_parent(edge: LineageEdge) -> ParentAnswer:
    """An edge whose parent is None although its id is set shows a parent that the caller may not see."""
    reference = str(edge.parent) if edge.parent else HIDDEN if edge.parent_id else None
    return ParentAnswer(role=edge.role, weight=edge.weight, reference=reference, external_uri=edge.external_uri or None)


def describe_metric(metric: Metric) -> MetricAnswer:
    """A metric of :func:`zoo_server.catalog.selectors.versions.metric_details` rows."""
    measure = MEASURES[metric.name]
    held = str(metric.dataset) if metric.dataset else HIDDEN if metric.dataset_id else None
    files = list(metric.artifact.files.all()) if metric.artifact else []
    return MetricAnswer(
        id=metric.id,
        name=metric.name,
        value=metric.value,
        unit=measure.unit,
        direction=measure.direction,
        source=metric.source,
        dataset=held or metric.dataset_name or None,
        split=metric.split or None,
        artifact=files[0].path if files else None,
        runtime=metric.runtime or None,
        device=metric.device or None,
        details=metric.details,
        job=metric.job_id,
        created_by=_author(metric.created_by),
        created_at=metric.created_at,
    )


def describe_version(version: Version) -> VersionAnswer:
    """A version of :func:`zoo_server.catalog.selectors.version_details` rows."""
    repository = version.repository
    plain = ("id", "number", "state", "digest", "notes", "created_at", "sealed_at", "dataset")
    files = sorted(version.files.all(), key=lambda file: file.path)
    mirrored = all(file.blob_id is not None for file in files)
    is_remote = any(file.address for file in files)
    return VersionAnswer(
        **{name: getattr(version, name) for name in plain},
        reference=str(version),
        size=sum(_size(file) or 0 for file in files) if is_remote else version.size,
        mirrored=mirrored,
        team=repository.team.name,
        name=repository.name,
        kind=repository.kind,
        created_by=_author(version.created_by),
        job=version.job_id,
        files=describe_files(files),
        artifacts=[describe_artifact(artifact) for artifact in version.artifacts.all()],
        strategy=[describe_step(step) for step in version.strategy.all()],
        parents=[describe_parent(edge) for edge in version.parent_edges.all()],
        metrics=[describe_metric(metric) for metric in version.metrics.all()],
        aliases=[alias.name for alias in version.aliases.all()],
        state_changes=[
            StateChangeAnswer(
                before=change.before,
                after=change.after,
                comment=change.comment,
                changed_by=_author(change.changed_by),
                changed_at=change.changed_at,
            )
            for change in version.state_changes.all()
        ],
        pin=_describe_pin(version),
        deletion=_describe_deletion(version),
    )


def describe_holder(version: Version) -> HolderAnswer:
    """A version of :func:`zoo_server.catalog.selectors.versions_with_digest` rows."""
    return HolderAnswer(
        id=version.id,
        reference=str(version),
        kind=version.repository.kind,
        number=version.number,
        state=version.state,
        digest=version.digest,
        paths=sorted(file.path for file in version.holding),  # type: ignore[attr-defined]
    )


def describe_alias(alias: Alias, repository: Repository) -> AliasAnswer:
    """An alias with its version."""
    number = alias.version.number
    return AliasAnswer(name=alias.name, version=number, reference=f"{repository}@{number}", updated_at=alias.updated_at)


def describe_move(move: AliasMove) -> AliasMoveAnswer:
    """A move of an alias."""
    return AliasMoveAnswer(
        name=move.name,
        before=move.before.number if move.before else None,
        after=move.after.number if move.after else None,
        moved_by=_author(move.moved_by),
        moved_at=move.moved_at,
    )
