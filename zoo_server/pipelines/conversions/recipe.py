"""A conversion path as a recipe: one step for each edge, and so one version for each stored step."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zoo_sdk.operations import OperationManifest
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.pipelines.conversions.graph import ConversionPath, ConversionStep

MODEL, DATA = "model", "data"
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9-]+")
NAME_LENGTH = 36


@dataclass(frozen=True)
class ConversionRecipe:
    """The recipe's text (JSON is YAML, too), and whether it has the input :data:`DATA`."""

    text: str
    uses_data: bool


def recipe_of(
    path: ConversionPath, *, manifests: Mapping[str, OperationManifest], model: str, has_data: bool
) -> ConversionRecipe:
    """The recipe that goes along ``path``; every step makes a version of ``model`` of the pipeline's team."""
    inputs: dict[str, Any] = {MODEL: {"kind": "model", "description": "What is converted."}}
    uses_data = has_data and any(_data_ports(manifests[step.offered.operation]) for step in path.steps)
    if uses_data:
        inputs[DATA] = {"kind": "dataset", "description": "For calibration and the parity checks."}
    steps: dict[str, Any] = {}
    source = f"${{inputs.{MODEL}}}"
    for number, step in enumerate(path.steps, 1):
        name = _step_name(number, step)
        manifest = manifests[step.offered.operation]
        given = {step.offered.edge.port: source}
        if uses_data:
            given |= dict.fromkeys(_data_ports(manifest), f"${{inputs.{DATA}}}")
        params = dict(step.offered.params)
        steps[name] = {"operation": step.offered.operation, "inputs": given, "params": params, "model": model}
        source = f"${{steps.{name}}}"
    target = path.steps[-1].target[0]
    whole = {
        "zoo_recipe": 1,
        "name": f"convert-to-{target}",
        "summary": f"Conversion from {path.steps[0].source[0]} to {target}, as the planner laid it out.",
        "inputs": inputs,
        "steps": steps,
        "outputs": {"converted": {"from": source, "model": model}},
    }
    return ConversionRecipe(json.dumps(whole, indent=2) + "\n", uses_data)


def _step_name(number: int, step: ConversionStep) -> str:
    """``1-onnx``, ``2-openvino-ir-fp16``: what the step makes."""
    precision = step.target[1].value if step.target[1] != step.source[1] else ""
    text = "-".join(part for part in (step.target[0], precision) if part)
    return f"{number}-{_NOT_OF_A_NAME.sub('-', text)}"[:NAME_LENGTH].rstrip("-")


def _data_ports(manifest: OperationManifest) -> list[str]:
    """The inputs that take a data set; a conversion's optional one is for its parity check."""
    return [port.name for port in manifest.inputs if port.kind == RepositoryKind.DATASET]
