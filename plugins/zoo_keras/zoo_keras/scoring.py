"""Opens a Keras classifier for evaluation and timing: one picture input, one output of class scores."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from zoo_keras.loading import Loaded, load
from zoo_keras.runtime import call, use_threads, versions
from zoo_keras.specs import Architecture
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.agreement import check_input_fits, preprocessing_of


@dataclass(frozen=True)
class Classifier:
    """An open model: calling it maps (B, ...) inputs to (B, C) outputs."""

    loaded: Loaded
    preprocessing: Preprocessing
    classes: int | None
    threads: int

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        return call(self.loaded.model, inputs)[0]

    @property
    def details(self) -> dict[str, Any]:
        """What belongs beside every figure measured with this model."""
        return {
            "versions": versions(),
            "backend": keras.config.backend(),
            "keras_version": self.loaded.version,
            "threads": self.threads,
        }

    @property
    def parameters(self) -> int:
        """The values that were learnt; running means and variances are statistics."""
        return sum(int(np.prod(weight.shape)) for weight in self.loaded.model.trainable_weights)


def open_classifier(
    item: InputItem, context: OperationContext, *, threads: int, architecture: Architecture | None
) -> Classifier:
    """Open a model input.

    Raises:
        InvalidInput: no preprocessing, another format, a file that cannot be loaded, several inputs or outputs, or an
            input that is not what the preprocessing makes.

    """
    preprocessing = preprocessing_of(item)
    use_threads(threads)
    loaded = load(item, context.scratch, architecture)
    inputs, outputs = ([tuple(one.shape) for one in side] for side in (loaded.model.inputs, loaded.model.outputs))
    if len(inputs) != 1 or len(outputs) != 1:
        raise InvalidInput(
            f"{item.reference} has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has one of each.",
            hint="Save the part that classifies as a model of its own.",
        )
    check_input_fits(item.reference, preprocessing, inputs[0])
    return Classifier(loaded, preprocessing, outputs[0][1] if len(outputs[0]) == 2 else None, threads)
