"""Nearest-centroid classifiers as JSON files: one flattened picture per class."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput

MODEL_FILE = "model.json"


def write_model(content: dict[str, Any], context: OperationContext) -> Path:
    """Write and declare the output ``model``."""
    path = context.output() / MODEL_FILE
    path.write_text(json.dumps(content, sort_keys=True))
    context.artifact(ArtifactDescription(format="json", files=(MODEL_FILE,)))
    return path


def read_centroids(item: InputItem) -> NDArray[np.float64]:
    """(classes, pixels) of a model input.

    Raises:
        InvalidInput: the file is not such a model.

    """
    try:
        centroids = np.asarray(json.loads(item.main_file.read_text())["centroids"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{item.reference} holds no centroids: {error!r}.") from error
    if centroids.ndim != 2:
        raise InvalidInput(f"{item.reference} holds centroids of the shape {centroids.shape}, not (classes, pixels).")
    return centroids
