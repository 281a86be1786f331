"""Opens a model input, weights or TorchScript, as a network that is ready to be measured."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name
from zoo_torch.loading import evaluation_batches
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import runtime_facts
from zoo_vision.agreement import check_classes_fit, check_pictures_fit, preprocessing_of
from zoo_vision.datasets import ImageSplit
from zoo_vision.evaluation import Subject
from zoo_vision.preprocessing import random_inputs

MAX_MESSAGE = 500


@dataclass(frozen=True)
class Runnable:
    """A network in evaluation mode on its device; calling it maps (B, ...) inputs to (B, C) outputs."""

    network: nn.Module
    item: InputItem
    preprocessing: Preprocessing
    classes: int
    device: torch.device
    is_script: bool

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return self.on_device(self.to_device(inputs)).float().cpu().numpy()

    def to_device(self, inputs: NDArray[np.float32]) -> Tensor:
        """The inputs as the network takes them; weights run with channels last in memory, which is quicker."""
        tensor = torch.from_numpy(inputs)
        if self.is_script:
            return tensor.to(self.device)
        return tensor.to(self.device, memory_format=torch.channels_last)

    def on_device(self, inputs: Tensor) -> Tensor:
        """Outputs of one batch.

        Raises:
            OperationError: TorchScript that fails, or gives something else than one tensor.

        """
        if not self.is_script:
            outputs: Tensor = self.network(inputs)
            return outputs
        try:
            found = self.network(inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise OperationError(f"{self.item.reference} failed: {error}"[:MAX_MESSAGE]) from error
        if not isinstance(found, Tensor):
            raise OperationError(f"{self.item.reference} gives {type(found).__name__}, not one tensor of class scores.")
        return found

    def subject(self, split: ImageSplit, context: OperationContext, batch_size: int) -> Subject:
        """For an evaluation on ``split``, which it must fit."""
        check_classes_fit(self.item.reference, split, self.preprocessing, self.classes)
        check_pictures_fit(split, self.preprocessing)
        return Subject(
            reference=self.item.reference,
            infer=self,
            preprocessing=self.preprocessing,
            batch=batch_size,
            runtime=Runtime.TORCH,
            device=device_name(self.device),
            details={**runtime_facts(self.device, context), "batch_size": batch_size},
            batches=lambda pictures, how, size, limit: evaluation_batches(pictures, how, size, limit=limit),
        )


def open_runnable(item: InputItem, device: torch.device, architecture: str | None = None) -> Runnable:
    """Open weights (``safetensors``, ``pickle``) or ``torchscript``.

    TorchScript is a program: it is loaded here, in the attempt's own process, and nowhere else.

    Raises:
        InvalidInput: no preprocessing, a damaged file, or an input that is not what the preprocessing makes.

    """
    preprocessing = preprocessing_of(item)
    if item.artifact is not None and item.artifact.format == "torchscript":
        network = _load_script(item, device)
        opened = partial(Runnable, network, item, preprocessing, device=device, is_script=True)
        return opened(_outputs_of(opened(classes=0)))
    model_preprocessing(item)
    weights = load_weights(item, architecture=architecture)
    check_channels(item.reference, weights.architecture.in_chans, preprocessing)
    network = weights.build().to(device).eval()
    return Runnable(network, item, preprocessing, weights.architecture.num_classes, device, is_script=False)


def _load_script(item: InputItem, device: torch.device) -> nn.Module:
    try:
        with advice_unsaid():
            loaded: nn.Module = torch.jit.load(item.main_file, map_location=device)
    except (RuntimeError, ValueError) as error:
        raise InvalidInput(
            f"{item.reference} cannot be loaded as TorchScript: {error}"[:MAX_MESSAGE],
            hint="Check that the file is complete and was written by a version of torch that is not newer.",
        ) from error
    return loaded.eval()


def _outputs_of(runnable: Runnable) -> int:
    """Classes that it scores, found by one batch: the file does not say."""
    try:
        outputs = runnable(random_inputs(runnable.preprocessing, 1, seed=0))
    except OperationError as error:
        raise InvalidInput(
            f"{runnable.item.reference} does not take what its preprocessing makes: {error.detail}",
            hint="Correct the preprocessing of the artifact (channels, crop, layout).",
        ) from error
    if outputs.ndim != 2 or len(outputs) != 1:
        raise InvalidInput(
            f"{runnable.item.reference} gives the shape {outputs.shape} for one picture, not (1, classes).",
            hint="Only classifiers with one output can be measured.",
        )
    return int(outputs.shape[1])


@contextmanager
def advice_unsaid() -> Iterator[None]:
    """Keep quiet that torch advises torch.export instead of TorchScript: this format is what is asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
