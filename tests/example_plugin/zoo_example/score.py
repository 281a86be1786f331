"""``example.score``: top-1 of a nearest-centroid classifier."""

import numpy as np

from zoo_example.centroids import read_centroids
from zoo_example.specs import ScoreParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import open_split


def run(params: ScoreParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure top1 and size_bytes; see :class:`zoo_example.specs.ScoreParams`."""
    context.raise_if_cancelled()
    item = inputs.one("model")
    centroids = read_centroids(item)
    split = open_split(inputs.one("data"), params.split)
    pixels = split.images.reshape(len(split), -1).astype(np.float64)[: params.limit]
    if pixels.shape[1] != centroids.shape[1]:
        raise InvalidInput(f"The pictures have {pixels.shape[1]} pixels, the centroids {centroids.shape[1]}.")
    distances = ((pixels[:, None, :] - centroids[None]) ** 2).sum(axis=2)
    correct = int((distances.argmin(axis=1) == split.labels[: params.limit]).sum())
    context.measure(
        "top1",
        100 * correct / len(pixels),
        dataset="data",
        split=params.split,
        device="cpu",
        details={"correct": correct, "samples": len(pixels)},
    )
    context.measure("size_bytes", item.main_file.stat().st_size)
    context.progress(1, 1, "scored")
