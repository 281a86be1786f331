"""The ways from a source to every target, planned by the code behind ``zoo convert`` over this machine's edges."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo_inspection import inspect
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem
from zoo_sdk.conversions import ConversionEdge, missing_packages
from zoo_sdk.discovery import discover_operations
from zoo_sdk.operations import OperationSpec
from zoo_sdk.vocabulary import Precision
from zoo_server.pipelines.conversions.graph import (
    ASSUMED,
    ConversionPath,
    OfferedEdge,
    Start,
    Wanted,
    plan_path,
)
from zoo_server.pipelines.conversions.obstacles import in_words, omissions, requirements

Options = Mapping[str, Mapping[str, Any]]
"""By operation, the parameters that the caller of ``zoo convert`` would give."""
TARGET_OPSET = 18
"""For ``onnxruntime.convert_opset``, which has to be told one: older than what the exporters write."""


@dataclass(frozen=True)
class Source:
    """A file (or files) to convert, as a version's artifact.

    ``origin``: the package that ships it, or how it was made; ``options``: what a caller has to say of it; ``data``:
    for calibration and parity; ``labelled``: its labels are true for this network; ``right``: how many of the test
    split the network is known to get right, if that is known.
    """

    name: str
    origin: str
    item: InputItem
    options: Options = field(default_factory=dict)
    data: InputItem | None = None
    labelled: bool = False
    right: int | None = None

    @property
    def artifact(self) -> ArtifactDescription:
        assert self.item.artifact is not None
        return self.item.artifact


@dataclass(frozen=True, order=True)
class Target:
    """What to end with; ``through``: an operation that leaves the format as it is, but does something to the file."""

    format: str
    precision: Precision
    through: str = ""

    def __str__(self) -> str:
        return self.through.partition(".")[2].replace("_", " ") or f"{self.format} {self.precision}"


@dataclass(frozen=True)
class Effort:
    """How thoroughly to convert: samples of the parity checks and of calibrations, and threads."""

    parity_samples: int = 64
    calibration: int = 128
    threads: int = 1

    def params_of(self, spec: OperationSpec) -> dict[str, Any]:
        """Those of its own parameters that an operation knows."""
        known = spec.params.model_fields
        wanted = {"parity_samples": self.parity_samples, "samples": self.calibration}
        return {name: value for name, value in wanted.items() if name in known}


def all_targets() -> tuple[Target, ...]:
    """Everything that the edges of the installed plugins lead to, from any format in float32."""
    edges = [edge for spec in discover_operations().values() for edge in spec.edges]
    reached = {(edge.source, ASSUMED) for edge in edges}
    found: set[tuple[str, Precision]] = set()
    while True:
        more = {
            (edge.target, edge.precision or precision)
            for edge in edges
            for source, precision in reached
            if edge.source == source and (not edge.takes or precision in edge.takes)
        }
        if more <= found:
            break
        found |= more
        reached |= more
    order = list(Precision)
    formats = sorted(found, key=lambda one: (one[0], order.index(one[1])))
    return tuple(Target(*one) for one in formats) + tuple(_improvements())


def _improvements() -> Iterator[Target]:
    """The operations all of whose edges lead back to where they begin without another precision."""
    for name, spec in sorted(discover_operations().items()):
        if spec.edges and all(edge.source == edge.target and edge.precision is None for edge in spec.edges):
            yield Target(spec.edges[0].target, ASSUMED, name)


def local_edges(options: Options, *, has_data: bool, gpus: int) -> list[OfferedEdge]:
    """Every edge of the installed plugins, with the reasons why this machine or this caller cannot take it."""
    found = []
    for spec in discover_operations().values():
        given = options.get(spec.name, {})
        for number, edge in enumerate(spec.edges):
            reasons = (
                *_lacks(spec, edge, gpus),
                *omissions(spec.manifest, edge, given, has_data=has_data),
            )
            questions = frozenset(edge.asks) - set(given)
            found.append(OfferedEdge(spec.name, number, edge, {**given, **edge.params}, reasons, questions))
    return found


def _lacks(spec: OperationSpec, edge: ConversionEdge, gpus: int) -> Iterator[str]:
    absent = missing_packages([edge])
    lacking = [
        item for item in requirements(spec.manifest, edge) if (not gpus if item.kind == "gpu" else item.name in absent)
    ]
    if lacking:
        yield f"this machine has no {' and no '.join(in_words(item) for item in lacking)}"


def way(source: Source, target: Target, *, gpus: int) -> ConversionPath:
    """The cheapest way that can be taken from a source to a target."""
    options = dict(source.options)
    if target.through:
        options.setdefault(target.through, _asked(target.through))
    edges = local_edges(options, has_data=source.data is not None, gpus=gpus)
    wanted = Wanted(target.format, target.precision, frozenset(options))
    return plan_path([_start(source)], edges, wanted)


def _asked(operation: str) -> dict[str, Any]:
    edges = discover_operations()[operation].edges
    return {"target_opset": TARGET_OPSET} if any("target_opset" in edge.asks for edge in edges) else {}


def _start(source: Source) -> Start:
    """As the registry sees the artifact: what its description says, else what the inspection finds."""
    main = source.item.main_file
    return Start.described(
        source.artifact.format,
        source.artifact.files[0],
        precision=source.artifact.precision,
        details=source.artifact.details,
        facts=inspect(main, name=main.name).facts,
    )
