"""Choosing a job's inputs: every port of the operation against the versions that the submission names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from zoo_sdk.errors import InvalidInput, NotFound
from zoo_sdk.names import Reference
from zoo_sdk.operations import OperationManifest, Port
from zoo_sdk.vocabulary import RepositoryKind, Scope, VersionState
from zoo_server.accounts.permissions import team_scopes
from zoo_server.catalog.models import Artifact, Version, VersionFile
from zoo_server.catalog.selectors import resolve_version
from zoo_server.catalog.services.states import DANGEROUS
from zoo_server.jobs.requests import MAX_INPUTS_PER_PORT, InputRequest
from zoo_server.jobs.services.faults import Fault, known_names
from zoo_server.rest.principals import Principal
from zoo_server.rest.problems import Gone

SHOWN_FILES = 5
ONLY_MADE_HERE = frozenset({"tensorrt-plan"})
"""Formats whose files are programs that no scan can judge: workers get those only that a job here made."""


@dataclass(frozen=True)
class ChosenInput:
    """One version for a port, with the artifact that the port's formats selected (None for data sets)."""

    port: Port
    position: int
    version: Version
    artifact: Artifact | None
    weight: float | None


class _Refused(Exception):
    """A wrong input, caught where its field is known."""

    def __init__(self, message: str, allowed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.allowed = allowed


def choose_inputs(
    *, principal: Principal, manifest: OperationManifest, requested: Mapping[str, Sequence[InputRequest]]
) -> tuple[list[ChosenInput], list[Fault]]:
    """The inputs by the operation's ports in order, and everything that is wrong with them."""
    ports = {port.name: port for port in manifest.inputs}
    faults = [
        Fault(f"inputs.{name[:60]}", f"is not an input of {manifest.name}", name, known_names(name, ports))
        for name in requested
        if name not in ports
    ]
    chosen: list[ChosenInput] = []
    for port in manifest.inputs:
        items = requested.get(port.name, ())
        faults += _count_faults(port, items)
        for position, item in enumerate(items[:MAX_INPUTS_PER_PORT]):
            field = f"inputs.{port.name}" + (f".{position}" if len(items) > 1 else "")
            try:
                choice = _choose(principal, port, position, item)
            except _Refused as refused:
                faults.append(Fault(field, refused.message, item.version, refused.allowed))
                continue
            if any(other.port == port and other.version == choice.version for other in chosen):
                faults.append(Fault(field, f"{choice.version} is named twice", item.version, "each version once"))
            chosen.append(choice)
    return chosen, faults


def _count_faults(port: Port, items: Sequence[InputRequest]) -> Iterator[Fault]:
    field = f"inputs.{port.name}"
    if port.required and not items:
        yield Fault(field, f"is required: {port.description or f'a {port.kind.value}'}", None, f"a {port.kind.value}")
    if len(items) > 1 and not port.many:
        yield Fault(field, f"takes one version, not {len(items)}", len(items), "one version")
    if len(items) > MAX_INPUTS_PER_PORT:
        yield Fault(field, f"takes {MAX_INPUTS_PER_PORT} versions at most, not {len(items)}", len(items))
    for position, item in enumerate(items):
        if item.weight is not None and not port.weighted:
            yield Fault(f"{field}.{position}.weight", "is not taken by this input", item.weight, "no weight")


def _choose(principal: Principal, port: Port, position: int, item: InputRequest) -> ChosenInput:
    try:
        reference = Reference.parse(item.version)
        version = resolve_version(principal=principal, reference=reference, kind=port.kind)
    except Gone as error:
        raise _Refused(f"{item.version} is withdrawn", "a version that is not withdrawn") from error
    except NotFound as error:
        # The same words for "does not exist" and "not yours to see".
        raise _Refused(f"there is no {port.kind.value} {item.version!r} that you may see") from error
    except InvalidInput as error:
        raise _Refused(str(error), "team/name@3 or team/name@alias") from error
    if version.state == VersionState.WITHDRAWN:
        raise _Refused(f"{version} is withdrawn", "a version that is not withdrawn")
    if hasattr(version, "deletion"):
        raise _Refused(f"{version} is deleted", "a version that is not deleted")
    if version.state == VersionState.DRAFT:
        raise _Refused(f"{version} is a draft", "a sealed version: seal it first")
    if port.measured and Scope.WRITE not in team_scopes(principal=principal, team=version.repository.team):
        raise _Refused(
            f"{version} would get the measured metrics, and you may not write in the team {version.repository.team}",
            "a version of a team in which you may write",
        )
    artifact = None
    if port.kind == RepositoryKind.DATASET:
        _check_dataset(port, version)
    else:
        artifact = select_artifact(port=port, version=version, path=reference.path)
    _check_findings(version, artifact)
    return ChosenInput(port, position, version, artifact, item.weight)


def _check_dataset(port: Port, version: Version) -> None:
    if version.dataset is None:
        raise _Refused(f"{version} has no description of its splits", "a data set with a description")
    if port.formats and version.dataset.get("format") not in port.formats:
        raise _Refused(f"{version} is {version.dataset.get('format')}", f"a data set as {' or '.join(port.formats)}")


def select_artifact(*, port: Port, version: Version, path: str | None) -> Artifact:
    """The artifact for a port: the one whose first file is ``path``, else by the port's formats in their order."""
    artifacts = list(version.artifacts.prefetch_related("files"))
    takes = f"an artifact as {' or '.join(port.formats)}" if port.formats else "any artifact"
    has = ", ".join(f"{_main_path(artifact)} ({artifact.format})" for artifact in artifacts[:SHOWN_FILES]) or "none"
    if path is not None:
        picked = [artifact for artifact in artifacts if _main_path(artifact) == path]
        if not picked:
            raise _Refused(f"{version} has no artifact {path!r}; it has {has}", takes)
        if port.formats and picked[0].format not in port.formats:
            raise _Refused(f"{version}#{path} is {picked[0].format}", takes)
        return picked[0]
    for format_name in port.formats:
        for artifact in artifacts:
            if artifact.format == format_name:
                return artifact
    if artifacts and not port.formats:
        return artifacts[0]
    raise _Refused(f"{version} has these artifacts: {has}", takes)


def _check_findings(version: Version, artifact: Artifact | None) -> None:
    owner = {"artifact": artifact} if artifact is not None else {"version": version}
    away = VersionFile.objects.filter(**owner, blob=None).order_by("position", "path").first()
    if away is not None:
        raise _Refused(
            f"{version} is not mirrored: {away.path} is only at {away.address}",
            f"a version whose files are here: `zoo catalog fetch {version.repository}` brings them",
        )
    dangerous = list(
        VersionFile.objects.filter(version=version, blob__findings__contains=[{"severity": DANGEROUS}])
        .values_list("path", flat=True)
        .order_by("position", "path")[:SHOWN_FILES]
    )
    if dangerous:
        raise _Refused(
            f"{version} holds {', '.join(dangerous)}, in which the scan found something dangerous; no worker gets it",
            "a version whose files passed the scan",
        )
    if artifact is not None and artifact.format in ONLY_MADE_HERE and version.job_id is None:
        raise _Refused(
            f"{version} is a {artifact.format} that no job of this registry made; loading one runs what is in it",
            "a version that a job made here, or the ONNX model that the plan was built from",
        )


def _main_path(artifact: Artifact) -> str:
    paths = [file.path for file in artifact.files.all()]
    return paths[0] if paths else artifact.name
