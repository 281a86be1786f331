"""Making one version of what a bundle says of it, with the catalogue's own services."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription
from zoo_sdk.bundles import layout
from zoo_sdk.bundles.layout import FileRecord, MetricRecord, ReportRecord
from zoo_sdk.bundles.reading import Entry, ReadBlob, read_reports
from zoo_sdk.errors import InvalidInput, ZooError
from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import LineageRole, MetricSource, RepositoryKind, Visibility
from zoo_server.artifacts.collection import use_blob
from zoo_server.audit.services import record_event
from zoo_server.catalog import services as catalog
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.models import Artifact, Repository, Version, VersionFile
from zoo_server.catalog.services.files import MAX_FILES
from zoo_server.provenance.bundles.planning import Plan, Planned
from zoo_server.rest.principals import Principal

MAX_ADDRESS = 1000
ModelT = TypeVar("ModelT", bound=BaseModel)


class TooNew(InvalidInput):
    """The bundle uses a word that this registry does not know yet."""

    code = "newer-content"


def make_version(principal: Principal, plan: Plan, row: Planned, read: ReadBlob) -> Version:
    """A sealed candidate with the files, artifacts, strategy, lineage, metrics and reports of the bundle's version.

    It is this registry's own version: its number, digest and attestations are made here.  Numbers that were measured
    elsewhere are ``reported`` here.  States and aliases do not come along: approval is each registry's own.

    Raises:
        TooNew: a format, a role or a kind of step is not known here.

    """
    entry = row.entry
    repository = row.repository or _repository(principal, plan, row, read)
    manifest = entry.record.manifest
    dataset = _parsed(DatasetDescription, manifest["dataset"], entry) if manifest.get("dataset") else None
    version = catalog.create_version(
        principal=principal, repository=repository, notes=entry.record.notes, dataset=dataset
    )
    _add_files(principal, version, entry)
    artifacts = {item.files[0]: _artifact(principal, version, item) for item in _artifacts(entry)}
    steps = [_parsed(StepDescription, _known(step, _STEP), entry) for step in _listed(manifest, "strategy")]
    if steps:
        catalog.set_strategy(principal=principal, version=version, steps=steps)
    for parent in entry.record.parents:
        local = plan.local(parent.id)
        external = parent.external_uri or f"urn:uuid:{parent.id}"
        catalog.add_parent(
            principal=principal,
            version=version,
            role=_role(parent.role, entry),
            parent=local,
            external_uri="" if local else external,
            weight=parent.weight,
        )
    for metric in entry.record.metrics:
        _add_metric(principal, plan, version, entry, metric, artifacts)
    for report in read_reports(entry, read):
        _add_report(principal, plan, version, report, artifacts)
    return catalog.seal_version(
        principal=principal,
        version=version,
        comment=f"imported: {entry.reference} of {entry.record.registry}"[:1000],
        may_be_empty=True,
    )


def _repository(principal: Principal, plan: Plan, row: Planned, read: ReadBlob) -> Repository:
    """The model or data set, described as in its origin and never public by itself; its next version finds it."""
    record = row.entry.record.repository
    card = row.entry.document(layout.CARD_TYPE)
    made = catalog.create_repository(
        principal=principal,
        team=plan.team,
        kind=record.kind,
        name=row.name,
        title=record.title,
        task=record.task,
        architecture=record.architecture,
        licence=record.licence,
        tags=record.tags,
        visibility=Visibility.PRIVATE if record.visibility == Visibility.PRIVATE else Visibility.INTERNAL,
        card=read(card).decode("utf-8", "replace").replace("\0", "") if card else "",
    )
    for other in plan.rows:
        if other.entry.record.repository.id == record.id and other.name == row.name:
            other.repository = made
    return made


def _add_files(principal: Principal, version: Version, entry: Entry) -> None:
    """All files at once: their paths were checked when the bundle was read."""
    if len(entry.files) > MAX_FILES:
        raise InvalidInput(f"{entry.reference} has {len(entry.files)} files; the most is {MAX_FILES}.")
    for digest in sorted(entry.held):
        use_blob(digest)
    VersionFile.objects.bulk_create((_file(version, entry, file) for file in entry.files), batch_size=1000)
    record_event(
        actor=principal,
        action="files.added",
        subject=version,
        team=version.repository.team.name,
        details={"files": len(entry.files), "held": len(entry.held)},
    )


def _file(version: Version, entry: Entry, file: FileRecord) -> VersionFile:
    """A file whose bytes the bundle has; or a reference to where it comes from, whose bytes may come later."""
    held = file.sha256 in entry.held
    if held and not file.address:
        return VersionFile(version=version, path=file.path, blob_id=file.sha256)
    return VersionFile(
        version=version,
        path=file.path,
        blob_id=file.sha256 if held else None,
        address=file.address or _address(entry, file.path),
        label=file.label[:40],
        declared_sha256=file.sha256 or "",
        declared_size=file.size,
    )


def _address(entry: Entry, path: str) -> str:
    """Where the file is: its route at the registry that it comes from."""
    record = entry.record
    name, _, number = record.reference.partition("@")
    place = f"{record.registry}/api/v1/{record.repository.kind}s/{name}/versions/{number}"
    whole = f"{place}/files/{quote(path)}"
    return whole if len(whole) <= MAX_ADDRESS else place[:MAX_ADDRESS]


def _artifacts(entry: Entry) -> list[ArtifactDescription]:
    known = frozenset(ArtifactDescription.model_fields)
    return [
        _parsed(ArtifactDescription, _known(item, known), entry) for item in _listed(entry.record.manifest, "artifacts")
    ]


def _artifact(principal: Principal, version: Version, description: ArtifactDescription) -> Artifact:
    return catalog.add_artifact(principal=principal, version=version, description=description)


def _add_metric(
    principal: Principal,
    plan: Plan,
    version: Version,
    entry: Entry,
    metric: MetricRecord,
    artifacts: Mapping[str, Artifact],
) -> None:
    """A number of the origin's; one by a name that is not known here is left in the record."""
    if metric.name not in MEASURES:
        return
    local = plan.local(metric.dataset_id) if metric.dataset_id else None
    dataset = local if local is not None and local.repository.kind == RepositoryKind.DATASET else None
    origin = {
        "registry": entry.record.registry,
        "id": str(metric.id),
        "source": metric.source,
        "job": str(metric.job) if metric.job else None,
        "by": metric.created_by,
        "at": metric.created_at,
    }
    catalog.add_metric(
        principal=principal,
        version=version,
        name=metric.name,
        value=metric.value,
        source=MetricSource.REPORTED,
        dataset=dataset,
        dataset_name="" if dataset else metric.dataset[:300],
        split=metric.split[:60],
        artifact=artifacts.get(metric.artifact or ""),
        runtime=metric.runtime[:40],
        device=metric.device[:100],
        details={**metric.details, "origin": origin},
    )


def _add_report(
    principal: Principal, plan: Plan, version: Version, report: ReportRecord, artifacts: Mapping[str, Artifact]
) -> None:
    """What a job of the origin found; the job's id is the one there."""
    named = [row.version for row in plan.rows if row.entry.reference == report.dataset]
    catalog.add_report(
        principal=principal,
        version=version,
        kind=report.kind,
        content=report.content,
        job_id=report.job,
        dataset=named[0] if named and named[0] and named[0].repository.kind == RepositoryKind.DATASET else None,
        split=(report.split or "")[:60],
        artifact=artifacts.get(report.artifact or ""),
        runtime=(report.runtime or "")[:40],
        device=(report.device or "")[:100],
    )


_STEP = frozenset({"kind", "method", "parameters", "operation"})
"""Of a step; the job that made it is one of the origin's, and is left in the record."""


def _known(document: Any, names: frozenset[str]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise InvalidInput("The bundle describes an artifact or a step that is no object.")
    return {name: value for name, value in document.items() if name in names}


def _listed(manifest: Mapping[str, Any], name: str) -> list[Any]:
    value = manifest.get(name)
    return value if isinstance(value, list) else []


def _role(role: str, entry: Entry) -> LineageRole:
    if role not in set(LineageRole):
        raise _too_new(entry, f"the lineage role {role!r}")
    return LineageRole(role)


def _parsed(kind: type[ModelT], document: Any, entry: Entry) -> ModelT:
    try:
        return kind.model_validate(document)
    except (ValidationError, ZooError) as error:
        reason = str(error.errors(include_url=False)[0]["msg"]) if isinstance(error, ValidationError) else error.detail
        raise _too_new(entry, f"a {kind.__name__} that is not understood here ({reason[:200]})") from error


def _too_new(entry: Entry, what: str) -> TooNew:
    return TooNew(
        f"{entry.reference} has {what}.",
        hint="Update this registry, or export without this version.",
        facts={"reference": entry.reference},
    )
