"""What stands in the way of an edge: what it needs of a machine, and what its caller leaves out.  Knows no database."""

from collections.abc import Iterator, Mapping
from typing import Any

from zoo_sdk.conversions import ConversionEdge, Requirement
from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import RepositoryKind


def requirements(manifest: OperationManifest, edge: ConversionEdge) -> list[Requirement]:
    """What a machine must have to take the edge: what it says itself, and the GPU that its operation runs on."""
    needed = list(edge.requires)
    if manifest.resources.gpus and not any(item.kind == "gpu" for item in needed):
        needed.append(Requirement(kind="gpu", reason=f"{manifest.name} runs on one"))
    return needed


def in_words(requirement: Requirement) -> str:
    """A requirement after "has no"."""
    what = "GPU" if requirement.kind == "gpu" else f"package {requirement.name}"
    return f"{what} ({requirement.reason})"


def omissions(
    manifest: OperationManifest, edge: ConversionEdge, given: Mapping[str, Any], *, has_data: bool
) -> Iterator[str]:
    """What the caller would have to say, or says otherwise; ``given``: the parameters for this operation."""
    for name, value in edge.params.items():
        if name in given and given[name] != value:
            yield f"the option {manifest.name}.{name} is not {value!r}"
    for port in manifest.inputs:
        if port.required and port.name != edge.port:
            if port.kind != RepositoryKind.DATASET:
                yield f"needs a model for its input {port.name!r}: submit {manifest.name} as a job"
            elif not has_data:
                yield f"needs a data set for its input {port.name!r}"
