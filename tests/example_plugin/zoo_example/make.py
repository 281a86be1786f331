"""``example.make``: centroids from data, a base and teachers, in passes that can be resumed."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo_example.centroids import read_centroids, write_model
from zoo_example.specs import MakeParams, Rounding
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import open_split

DRAWN_SHAPE = (10, 64)


def run(params: MakeParams, inputs: Inputs, context: OperationContext) -> None:
    """Move from the start towards the target, a part in each pass; see :class:`zoo_example.specs.MakeParams`."""
    target = _target(params, inputs, context)
    base = inputs.optional("base")
    centroids = read_centroids(base) if base else np.zeros_like(target)
    teachers = [(read_centroids(item), item.weight or 1.0) for item in inputs.many("teacher")]
    for other in (centroids, *(teacher for teacher, _ in teachers)):
        if other.shape != target.shape:
            raise InvalidInput(f"Centroids of the shapes {target.shape} and {other.shape} cannot be combined.")
    first = 0
    if (saved := context.restore()) is not None:
        state = json.loads(saved.read_text())
        first, centroids = state["passes"], np.asarray(state["centroids"])
        context.log(f"Resumed after pass {first}.")
    for number in range(first + 1, params.passes + 1):
        context.raise_if_cancelled()
        centroids = centroids + (target - centroids) * number / params.passes
        if teachers and number >= params.blend.start:
            total = sum(weight for _, weight in teachers)
            mean = sum(teacher * weight / total for teacher, weight in teachers)
            centroids = (1 - params.blend.share) * centroids + params.blend.share * mean
        context.metric("distance", float(np.abs(target - centroids).mean()), number)
        context.checkpoint(partial(_save, passes=number, centroids=centroids))
        context.progress(number, params.passes + 1, f"pass {number} of {params.passes}")
    _hand_over(centroids, params, context)


def _target(params: MakeParams, inputs: Inputs, context: OperationContext) -> NDArray[np.float64]:
    data = inputs.optional("data")
    if data is None:
        return np.random.default_rng(context.seed).uniform(0, 255, DRAWN_SHAPE)
    split = open_split(data, params.split)
    pixels = split.images.reshape(len(split), -1).astype(np.float64)
    average = np.mean if params.method == "mean" else np.median
    return np.stack([average(pixels[split.labels == label], axis=0) for label in range(len(split.classes))])


def _save(path: Path, *, passes: int, centroids: NDArray[np.float64]) -> None:
    path.write_text(json.dumps({"passes": passes, "centroids": centroids.tolist()}))


def _hand_over(centroids: NDArray[np.float64], params: MakeParams, context: OperationContext) -> None:
    rounded = centroids.round() if params.rounding is Rounding.INTEGER else centroids
    path = write_model({"centroids": rounded.tolist()}, context)
    context.measure("size_bytes", path.stat().st_size)
    context.measure("parameters", rounded.size, details={"classes": len(rounded)})
    context.report("centroids", {"per_class": [round(float(row.mean()), 3) for row in rounded]})
    if params.notes:
        (context.output("notes") / "notes.txt").write_text(f"{params.passes} passes, {params.rounding} rounding\n")
        context.artifact(ArtifactDescription(name="notes", format="text", files=("notes.txt",)), port="notes")
    context.log(f"Made {len(rounded)} centroids.")
    context.progress(params.passes + 1, params.passes + 1, "written")
