"""What every export begins and ends with: the network, the inputs to compare on, and the parity gate."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError
from zoo_sdk.vocabulary import Precision
from zoo_torch.conversion.layers import locate_in
from zoo_torch.conversion.params import ExportParams
from zoo_torch.devices import prepare_device
from zoo_torch.networks.weights import Weights, load_weights
from zoo_torch.training.data import check_channels, model_preprocessing
from zoo_torch.training.results import signature_of
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.bisection import Values
from zoo_vision.datasets import open_split
from zoo_vision.parity import ParityFigures, check_parity, check_source_is_finite, report_parity
from zoo_vision.parity_inputs import BATCH, ParityInputs, outputs_over, parity_inputs_of, random_parity_inputs
from zoo_vision.preprocessing import native_preprocessing

MAX_MESSAGE = 1000
STEPS = 3
Infer = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Inputs (B, C, H, W) to outputs (B, classes)."""
Inside = Callable[[NDArray[np.float32]], Values]
"""For one input: what answers the values of modules, by their names in the source, inside the new model."""


@dataclass(frozen=True)
class ComparedOn:
    """The inputs of a comparison, and how pictures become them."""

    preprocessing: Preprocessing
    inputs: ParityInputs


@dataclass(frozen=True)
class ExportSource:
    """Weights, their network in evaluation mode, and its outputs on the inputs to compare."""

    item: InputItem
    weights: Weights
    network: nn.Module
    compared: ComparedOn
    outputs: NDArray[Any]

    @property
    def example(self) -> torch.Tensor:
        """Two inputs: with one, its batch would be taken for a constant."""
        batch = next(self.compared.inputs.batches())
        return torch.from_numpy(batch[:2] if len(batch) > 1 else np.concatenate([batch, batch]))


def told_architecture(item: InputItem) -> str | None:
    """The architecture that the details of an artifact name, as a catalogue writes it or as our own weights do."""
    told = item.artifact.details.get("architecture") if item.artifact else None
    name = told.get("name") if isinstance(told, dict) else told
    return name if isinstance(name, str) and ":" in name else None


def open_source(params: ExportParams, inputs: Inputs, context: OperationContext) -> ExportSource:
    """Load the input ``model`` and run it on the inputs to compare.

    Raises:
        InvalidInput: the weights cannot be loaded, or the size of their inputs is not known.
        ParityFailed: the source's own outputs are not finite.

    """
    prepare_device(context)
    item = inputs.one("model")
    weights = load_weights(item, architecture=params.architecture or told_architecture(item))
    compared = parity_inputs(item, model_preprocessing(item), inputs, params.parity_samples, params.split, context.seed)
    check_channels(item.reference, weights.architecture.in_chans, compared.preprocessing)
    network = weights.build().eval().requires_grad_(requires_grad=False)
    context.raise_if_cancelled()
    outputs = outputs_of(network, compared.inputs, context)
    check_source_is_finite(outputs)
    context.progress(1, STEPS, "exporting")
    return ExportSource(item, weights, network, compared, outputs)


def parity_inputs(
    item: InputItem, preprocessing: Preprocessing | None, inputs: Inputs, samples: int, split: str, seed: int
) -> ComparedOn:
    """Pictures of the input ``data`` if there is one, else random pixels, as the model's preprocessing makes them.

    Raises:
        InvalidInput: nothing says how large inputs are, or the pictures do not fit.

    """
    data = inputs.optional("data")
    if data is not None:
        opened = open_split(data, split)
        chosen = preprocessing or native_preprocessing(opened)
        check_pictures_fit(opened, chosen)
        return ComparedOn(chosen, parity_inputs_of(opened, chosen, samples, seed))
    if preprocessing is None:
        raise InvalidInput(
            f"{item.reference} does not say how its inputs are made, so their size is unknown.",
            hint="Give the input `data`, or push the version with `preprocessing` in its description.",
        )
    return ComparedOn(preprocessing, random_parity_inputs(preprocessing, samples, seed))


def outputs_of(network: nn.Module, inputs: ParityInputs, context: OperationContext) -> NDArray[Any]:
    """The outputs (N, classes) of a network on the CPU."""

    def infer(batch: NDArray[np.float32]) -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).float().numpy())

    return outputs_over(infer, inputs.batches(), largest=BATCH, before_batch=context.raise_if_cancelled)


def check_export(
    source: ExportSource, infer: Infer, inside: Inside, params: ExportParams, context: OperationContext
) -> ParityFigures:
    """Run the new model on the same inputs, also with a batch of one, and compare.

    Raises:
        OperationError: it does not run.
        ParityFailed: it computes something else; says at which layer that begins.

    """
    context.raise_if_cancelled()
    context.progress(2, STEPS, "comparing with the source")
    try:
        candidate = outputs_over(
            infer, _one_first(source.compared.inputs), largest=BATCH, before_batch=context.raise_if_cancelled
        )
    except RuntimeError as error:
        raise OperationError(
            f"The new model does not run: {error}"[:MAX_MESSAGE],
            hint="The network's code may depend on the size of the batch; try another architecture.",
        ) from error
    allowed = params.parity_tolerance * max(1.0, float(np.abs(source.outputs).max()))
    return check_parity(
        source.outputs,
        candidate,
        max_abs=allowed,
        locate=lambda sample: locate_in(source.network, source.compared.inputs.sample(sample), infer, inside),
    )


def _one_first(inputs: ParityInputs) -> Iterator[NDArray[np.float32]]:
    """The same inputs, the first one as a batch of its own: a batch that was baked into a file is found so."""
    for number, batch in enumerate(inputs.batches()):
        if number == 0 and len(batch) > 1:
            yield batch[:1]
            yield batch[1:]
        else:
            yield batch


def declare_export(
    source: ExportSource,
    figures: ParityFigures,
    artifact: ArtifactDescription,
    context: OperationContext,
) -> None:
    """Declare what was made with its signature and the figures, and measure those and its size."""
    inputs, preprocessing = source.compared.inputs, source.compared.preprocessing
    known = source.item.artifact.details if source.item.artifact else {}
    kept = {key: known[key] for key in ("classes",) if key in known}
    facts = {"inputs": inputs.origin, "torch": torch.__version__}
    details = {
        "architecture": source.weights.architecture.model_dump(mode="json"),
        "producer": f"torch {torch.__version__}",
        **kept,
        **artifact.details,
        "parity": {**asdict(figures), **facts},
    }
    context.artifact(
        artifact.model_copy(
            update={
                "precision": Precision.FP32,
                "signature": signature_of(preprocessing, source.weights.architecture.num_classes),
                "preprocessing": preprocessing,
                "details": details,
            }
        )
    )
    report_parity(
        context,
        figures,
        runtime=artifact.runtime,
        dataset=inputs.dataset_port,
        split=inputs.split,
        details=facts | {key: value for key, value in artifact.details.items() if key != "opset"},
    )
    path: Path = context.output() / artifact.files[0]
    context.measure("size_bytes", path.stat().st_size, runtime=artifact.runtime)
    context.progress(STEPS, STEPS, f"largest difference {figures.max_abs_diff:.2g}")
