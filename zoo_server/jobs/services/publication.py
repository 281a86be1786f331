"""The version that a job makes: files, artifacts, lineage, strategy and metrics, through the catalogue's services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict
from uuid import UUID

from zoo_sdk.artifacts import ArtifactDescription, FileEntry
from zoo_sdk.errors import Conflict, InvalidInput, UnknownName
from zoo_sdk.messages import FinishReport, Measurement, OutputReport, Report
from zoo_sdk.operations import OperationManifest, Port
from zoo_sdk.vocabulary import LineageRole, MetricSource, RepositoryKind, Scope, StrategyKind, Visibility
from zoo_server.artifacts.models import Blob, Upload
from zoo_server.catalog.descriptions import RepositoryFields, StepDescription
from zoo_server.catalog.models import Artifact, Repository, Version
from zoo_server.catalog.services import (
    add_artifact,
    add_file,
    add_metric,
    add_parent,
    add_report,
    create_repository,
    create_version,
    inherit_strategy,
    seal_version,
)
from zoo_server.jobs.models import Job, JobInput
from zoo_server.jobs.services.ports import BASE_ROLES
from zoo_server.jobs.services.stored import storable
from zoo_server.rest.principals import Principal


class InvalidReport(InvalidInput):
    """The worker's report does not hold what the operation promised."""

    code = "invalid-report"


@dataclass(frozen=True)
class Publication:
    """A job with what its result is made from."""

    job: Job
    manifest: OperationManifest
    inputs: Mapping[str, Sequence[JobInput]]
    owner: Principal

    @cached_property
    def base(self) -> Version | None:
        """The input whose strategy the made version continues, in the order of the operation's ports."""
        ports = [port for port in self.manifest.inputs if port.role in BASE_ROLES and self.inputs[port.name]]
        return self.inputs[ports[0].name][0].version if ports else None

    @cached_property
    def measured(self) -> JobInput | None:
        """The input that measurements are about; None: they are about the made version."""
        ports = [port.name for port in self.manifest.inputs if port.measured and self.inputs[port.name]]
        return self.inputs[ports[0]][0] if ports else None


def publish(job: Job, report: FinishReport) -> Version | None:
    """Make what the report says, inside the caller's transaction; None for an operation that only measures.

    Raises:
        InvalidReport, InvalidInput, Conflict ...: the report does not fit the operation, the uploads or the catalogue.

    """
    work = publication_of(job)
    files, artifacts = _merged_outputs(work.manifest, report.outputs)
    version = None
    if work.manifest.outputs:
        blobs = _uploaded_blobs(job, files)
        notes = f"Made by {job.operation.name}, job {job.pk}."
        version = make_version(work, [(file.path, blobs[file.sha256]) for file in files], artifacts, notes)
        add_lineage(work, version)
        add_strategy(work, version, made_by=job.pk)
    _add_metrics(work, version, report.measurements)
    _add_reports(work, version, report.reports)
    return seal_version(principal=work.owner, version=version) if version is not None else None


def publication_of(job: Job) -> Publication:
    """The made version belongs to the submitter, whose rights were checked at submission; the work is done since."""
    manifest = OperationManifest.model_validate(job.operation.manifest)
    rows = list(job.inputs.select_related("version__repository__team", "artifact").order_by("port", "position"))
    inputs = {port.name: [row for row in rows if row.port == port.name] for port in manifest.inputs}
    owner = Principal(
        name=job.created_by.username,
        user_id=job.created_by_id,
        scopes=frozenset({Scope.READ, Scope.WRITE}),
        is_superuser=True,
    )
    return Publication(job, manifest, inputs, owner)


def _merged_outputs(
    manifest: OperationManifest, outputs: Mapping[str, OutputReport]
) -> tuple[list[FileEntry], list[ArtifactDescription]]:
    """The files and artifacts of all output ports: the first port's as they are, the others' below ``port/``."""
    ports = {port.name: port for port in manifest.outputs}
    for name in outputs:
        if name not in ports:
            raise UnknownName("output port", name, ports)
    files: list[FileEntry] = []
    artifacts: list[ArtifactDescription] = []
    for position, port in enumerate(manifest.outputs):
        output = outputs.get(port.name)
        if output is None:
            if port.required:
                raise InvalidReport(f"{manifest.name} did not report its output {port.name!r}.")
            continue
        _check_output(manifest, port, output)
        prefix = f"{port.name}/" if position else ""
        files += [file.model_copy(update={"path": prefix + file.path}) for file in output.files]
        artifacts += [
            artifact.model_copy(
                update={
                    "files": tuple(prefix + path for path in artifact.files),
                    "details": storable(artifact.details),
                }
            )
            for artifact in output.artifacts
        ]
    return files, artifacts


def _check_output(manifest: OperationManifest, port: Port, output: OutputReport) -> None:
    formats = [artifact.format for artifact in output.artifacts]
    if port.formats and not set(formats) & set(port.formats):
        raise InvalidReport(
            f"{manifest.name} made {', '.join(formats)} for its output {port.name!r}, not {' or '.join(port.formats)}."
        )
    known = {file.path for file in output.files}
    for artifact in output.artifacts:
        for path in artifact.files:
            if path not in known:
                raise InvalidReport(f"The artifact {artifact.name!r} names {path!r}, which is not among the files.")


def make_version(
    work: Publication, files: Sequence[tuple[str, Blob]], artifacts: Sequence[ArtifactDescription], notes: str
) -> Version:
    """A draft of the job's own in its target, with these files (path and bytes) and artifacts."""
    version = create_version(principal=work.owner, repository=_target_of(work), notes=notes, job_id=work.job.pk)
    for path, blob in files:
        add_file(principal=work.owner, version=version, path=path, blob=blob)
    for artifact in artifacts:
        add_artifact(principal=work.owner, version=version, description=artifact)
    return version


def _uploaded_blobs(job: Job, files: Sequence[FileEntry]) -> dict[str, Blob]:
    """The blobs of the files; each must have come up through an upload of this job, in this or an earlier attempt."""
    uploads = Upload.objects.select_related("blob").filter(
        job_id=job.pk,
        attempt__lte=job.attempt,
        state=Upload.State.COMPLETE,
        blob__in={file.sha256 for file in files},
    )
    blobs = {upload.blob.pk: upload.blob for upload in uploads if upload.blob is not None}
    for file in files:
        blob = blobs.get(file.sha256)
        if blob is None:
            raise InvalidReport(f"The file {file.path!r} ({file.sha256}) was not uploaded by this job.")
        if blob.size != file.size:
            raise InvalidReport(f"The file {file.path!r} was reported with {file.size} bytes; it has {blob.size}.")
    return blobs


def _target_of(work: Publication) -> Repository:
    """The model that takes the result; made if it is not there, also when another job makes it at this moment."""
    if not work.job.outputs:
        raise InvalidReport(f"Job {work.job.pk} does not say which model takes its result.")
    _, _, name = next(iter(work.job.outputs.values())).partition("/")
    rows = Repository.objects.select_related("team").filter(
        team_id=work.job.team_id, kind=RepositoryKind.MODEL, name=name
    )
    found = rows.first()
    if found is not None:
        return found
    try:
        return create_repository(
            principal=work.owner, team=work.job.team, kind=RepositoryKind.MODEL, name=name, **_description_of(work)
        )
    except Conflict:
        return rows.get()


def _description_of(work: Publication) -> RepositoryFields:
    """A new model is described like its base, and is no more visible than any model that it comes from."""
    fields: RepositoryFields = {}
    if work.base is not None:
        fields["task"] = work.base.repository.task
        fields["licence"] = work.base.repository.licence
    sources = [item.version.repository for items in work.inputs.values() for item in items]
    visibilities = [source.visibility for source in sources if source.kind == RepositoryKind.MODEL]
    if visibilities:
        order = [Visibility.PRIVATE, Visibility.INTERNAL, Visibility.PUBLIC]
        fields["visibility"] = min((Visibility(item) for item in visibilities), key=order.index)
    return fields


def add_lineage(work: Publication, version: Version) -> None:
    """One edge for each input of a port with a role; a version that came in twice in one role leaves one edge."""
    seen: set[tuple[UUID, LineageRole]] = set()
    for port in work.manifest.inputs:
        if port.role is None:
            continue
        for item in work.inputs[port.name]:
            if (item.version_id, port.role) not in seen:
                seen.add((item.version_id, port.role))
                weight = item.weight if port.role is LineageRole.TEACHER else None
                add_parent(principal=work.owner, version=version, role=port.role, parent=item.version, weight=weight)


def add_strategy(work: Publication, version: Version, *, made_by: UUID) -> None:
    """The base's strategy and then this step, which the job ``made_by`` carried out."""
    manifest = work.manifest
    if manifest.strategy is None:
        raise InvalidReport(f"{manifest.name} makes a model but names no kind of step.")
    method = work.job.params.get("method")
    step = StepDescription(
        kind=_kind_of_step(work, manifest.strategy),
        method=method[:100] if isinstance(method, str) and method else manifest.method,
        parameters=work.job.params,
        operation=manifest.name,
        job_id=made_by,
    )
    inherit_strategy(principal=work.owner, version=version, base=work.base, step=step)


def _kind_of_step(work: Publication, usual: StrategyKind) -> StrategyKind:
    """A training may say in its parameter ``stage`` what it is to the model: pretraining or finetuning."""
    stage = work.job.params.get("stage")
    return StrategyKind(stage) if usual is StrategyKind.TRAINING and stage in set(StrategyKind) else usual


def _add_metrics(work: Publication, version: Version | None, measurements: Sequence[Measurement]) -> None:
    """The measurements are about the ``measured`` input if the operation has one, else about the made version."""
    if not measurements:
        return
    subject, artifact = _subject_of(work, version)
    for item in measurements:
        add_metric(
            principal=work.owner,
            version=subject,
            name=item.name,
            value=item.value,
            source=MetricSource.MEASURED,
            details=storable(item.details),
            job_id=work.job.pk,
            artifact=artifact,
            **_circumstances(work, item),
        )


def _add_reports(work: Publication, version: Version | None, reports: Sequence[Report]) -> None:
    """What was found that is more than a number, about the same version as the measurements."""
    if not reports:
        return
    subject, artifact = _subject_of(work, version)
    for item in reports:
        add_report(
            principal=work.owner,
            version=subject,
            kind=item.kind,
            content=storable(item.content),
            job_id=work.job.pk,
            artifact=artifact,
            **_circumstances(work, item),
        )


def _subject_of(work: Publication, version: Version | None) -> tuple[Version, Artifact | None]:
    """What was measured, and which artifact of it."""
    if work.measured:
        return work.measured.version, work.measured.artifact
    if version is None:
        raise InvalidReport(f"{work.manifest.name} makes no model and measures no input, but reported measurements.")
    return version, version.artifacts.first()


class _Circumstances(TypedDict):
    dataset: Version | None
    split: str
    runtime: str
    device: str


def _circumstances(work: Publication, item: Measurement | Report) -> _Circumstances:
    return {
        "dataset": _dataset_of(work, item.dataset_port),
        "split": (item.split or "")[:60],
        "runtime": (item.runtime or "")[:40],
        "device": (item.device or "")[:100],
    }


def _dataset_of(work: Publication, port: str | None) -> Version | None:
    if port is None:
        return None
    known = [item.name for item in work.manifest.inputs if item.kind == RepositoryKind.DATASET]
    if port not in known:
        raise UnknownName("data set port", port, known)
    items = work.inputs[port]
    return items[0].version if items else None
