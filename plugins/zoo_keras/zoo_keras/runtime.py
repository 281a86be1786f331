"""Runs Keras models on the CPU with torch as the backend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from zoo_sdk.errors import OperationError
from zoo_sdk.formats import Runtime

RUNTIME = str(Runtime.KERAS)
DEVICE = "cpu"


def versions() -> dict[str, str]:
    """The versions that belong beside every figure."""
    return {"keras": keras.__version__, "torch": torch.__version__, "numpy": np.__version__}


def use_threads(threads: int) -> None:
    """The number of threads of every later call; torch keeps it for the process."""
    torch.set_num_threads(threads)


def weights_of(layer: keras.Layer) -> tuple[NDArray[Any], ...]:
    """A layer's weights in Keras' order."""
    return tuple(_array(weight.value) for weight in layer.weights)


def arrays_of(result: Any) -> list[NDArray[Any]]:
    """What a model gave as arrays: one for each output."""
    given = result if isinstance(result, list | tuple) else [result]
    return [_array(tensor) for tensor in given]


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    """Not by ``keras.ops.convert_to_numpy``, which asks in a way that NumPy warns of."""
    return tensor.detach().cpu().numpy()


def call(model: keras.Model, inputs: NDArray[np.float32]) -> list[NDArray[Any]]:
    """One batch through the model as in use, not in training.

    Raises:
        OperationError: Keras or its backend cannot run the model.

    """
    try:
        with torch.no_grad():
            return arrays_of(model(inputs, training=False))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise OperationError(f"Keras could not run the model: {str(error)[:1000]}") from error


def values_inside(
    model: keras.Model, inputs: NDArray[np.float32]
) -> Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]:
    """Answers the outputs of layers by their names, for those inputs."""

    def values(names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        outputs = [model.get_layer(name).output for name in names]
        return dict(zip(names, call(keras.Model(model.inputs[0], outputs), inputs), strict=True))

    return values
