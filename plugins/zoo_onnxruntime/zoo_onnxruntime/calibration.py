"""The ranges of a network's activations on real pictures, batch by batch: bounded memory, threads, cancelling."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, TensorsData, create_calibrator

from zoo_onnxruntime.runtime import Classifier, open_session
from zoo_onnxruntime.specs import QuantizeParams
from zoo_sdk.context import OperationContext
from zoo_vision.datasets import ImageSplit

BATCH = 8
"""Histograms need every value inside the network at once: about 25 MB for each picture of 224 x 224."""
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class _Once(CalibrationDataReader):
    """Hands out one batch; the calibrator would otherwise keep all values of all batches until the last one."""

    def __init__(self, name: str, inputs: NDArray[np.float32]) -> None:
        self._batches = iter([{name: inputs}])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def measure_ranges(
    model: ModelProto,
    classifier: Classifier,
    split: ImageSplit,
    params: QuantizeParams,
    types: list[str],
    context: OperationContext,
) -> TensorsData:
    """The ranges of the floating-point values that nodes of the given ``types`` read and write.

    ``model``: with inferred shapes; ``params.samples`` pictures are drawn from ``split`` with the job's seed.
    """
    path = context.scratch / "to-calibrate.onnx"
    onnx.save(model, str(path))
    calibrator = create_calibrator(
        path,
        types,
        augmented_model_path=str(context.scratch / "calibrating.onnx"),
        calibrate_method=METHODS[params.calibration],
        extra_options=_options(params),
    )
    # Its own session would take every thread of the machine; like that one, this computes the graph as it is written.
    calibrator.infer_session = open_session(
        str(context.scratch / "calibrating.onnx"), context.threads, "the model to calibrate", optimise=False
    )
    name = classifier.session.get_inputs()[0].name
    done, indices = 0, split.random_indices(params.samples, context.seed)
    for inputs in _batches(split, classifier, indices):
        context.raise_if_cancelled()
        with redirect_stdout(io.StringIO()):
            calibrator.collect_data(_Once(name, inputs))
        done = min(done + len(inputs), len(indices))
        context.progress(done, len(indices), "calibration samples")
    with redirect_stdout(io.StringIO()):
        return calibrator.compute_data()


def _options(params: QuantizeParams) -> dict[str, object]:
    options: dict[str, object] = {"symmetric": params.activations == "symmetric"}
    if params.calibration == "percentile":
        options["percentile"] = params.percentile
    return options


def _batches(split: ImageSplit, classifier: Classifier, indices: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Inputs in batches; one of a fixed batch is filled up with its own last picture, which changes no range."""
    size = classifier.fixed_batch or BATCH
    for inputs, _ in split.batches(classifier.preprocessing, size, indices=indices):
        missing = (classifier.fixed_batch or len(inputs)) - len(inputs)
        yield np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]) if missing else inputs
