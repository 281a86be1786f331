"""What a trained quantised network is exported to, each compared with it on test pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_sdk.formats import Runtime
from zoo_sdk.vocabulary import Precision
from zoo_torch.networks.architectures import Architecture
from zoo_torch.quantization.export_qdq import OPSET, check_is_8_bit, onnx_runner, write_qdq
from zoo_torch.quantization.export_torchscript import write_torchscript
from zoo_torch.quantization.integers import to_integers
from zoo_torch.quantization.params import Export, QuantizeAwareParams
from zoo_torch.quantization.weight_bits import effective_bits, effective_size_bytes, precision_of
from zoo_torch.training.results import description_details, signature_of
from zoo_torch.training.trainer import TrainingData
from zoo_vision.integer.files import IntegerNetwork, describe, write_network
from zoo_vision.integer.simulator import Simulator
from zoo_vision.parity import check_parity, report_parity

Infer = Callable[[NDArray[np.float32]], NDArray[Any]]
BATCH = 32
EXAMPLE = 2
REQUIRED_AGREEMENT: Mapping[Export, float] = {"packed": 99.0, "torchscript": 99.0, "qdq_onnx": 98.0}
"""Percent of pictures with the same answer.  All compute the same but for the order of additions, whose last digit can
decide which way a number is rounded; QDQ ONNX also rounds biases.  One picture may always differ."""
FILES: Mapping[Export, str] = {"packed": "model.integers", "qdq_onnx": "model.onnx", "torchscript": "model.jit"}
ALL: tuple[Export, ...] = ("packed", "qdq_onnx", "torchscript")


def exports_possible(params: QuantizeAwareParams, network: nn.Module, data: TrainingData) -> dict[Export, str]:
    """Before training: the exports to make, each with "", or with the reason why it cannot be made.

    Raises:
        InvalidInput: one that was asked for by name cannot be made.

    """
    reasons: dict[Export, str] = {}
    for name in params.exports if params.exports is not None else ALL:
        try:
            reasons[name] = ""
            if name != "torchscript":
                integers = to_integers(network, _shape(data))
                if name == "qdq_onnx":
                    check_is_8_bit(integers)
        except InvalidInput as error:
            if params.exports is not None:
                raise
            reasons[name] = error.detail
    return reasons


def _shape(data: TrainingData) -> tuple[int, int, int]:
    return (data.preprocessing.channels, *data.preprocessing.crop)


@dataclass
class Exporter:
    """Writes exports of ``network``, which is trained and on the CPU."""

    network: nn.Module
    architecture: Architecture
    data: TrainingData
    params: QuantizeAwareParams
    context: OperationContext
    _expected: NDArray[Any] | None = field(default=None, init=False)

    def write(self, name: Export) -> None:
        """Write one export, compare it and declare it as an artifact.

        Raises:
            ParityFailed: it was asked for by name and does not answer as the network does.
            OperationError: it was asked for by name and cannot be made.

        """
        write = {"packed": self._packed, "qdq_onnx": self._qdq, "torchscript": self._torchscript}[name]
        self.context.raise_if_cancelled()
        try:
            infer, description = write()
            self._compare(name, infer, description)
        except (ParityFailed, OperationError) as error:
            if self.params.exports is not None:
                raise
            self.context.log(f"No {name}: {error.detail}")
            self._path(name).unlink(missing_ok=True)
            return
        self.context.measure("size_bytes", self._path(name).stat().st_size, runtime=description.runtime)
        self.context.artifact(description)

    def _path(self, name: Export) -> Path:
        return self.context.output() / FILES[name]

    def _packed(self) -> tuple[Infer, ArtifactDescription]:
        integers = self._integers()
        path = self._path("packed")
        write_network(integers, path)
        facts = {**describe(integers.graph), "effective_bits": round(effective_bits(self.network), 4)}
        facts["effective_size_bytes"] = effective_size_bytes(self.network)
        return Simulator(integers), self._description("integers", "zoo-integer", path, Runtime.NUMPY, facts)

    def _qdq(self) -> tuple[Infer, ArtifactDescription]:
        path = self._path("qdq_onnx")
        write_qdq(self._integers(), path)
        facts = {"opset": OPSET, "producer": f"torch {torch.__version__}", "onnxruntime": onnxruntime.__version__}
        description = self._description("qdq-onnx", "onnx", path, Runtime.ONNXRUNTIME, facts)
        precision = Precision.INT8 if description.precision != Precision.FP32 else Precision.FP32
        infer = onnx_runner(path, threads=self.context.threads)
        return infer, description.model_copy(update={"precision": precision})

    def _torchscript(self) -> tuple[Infer, ArtifactDescription]:
        path = self._path("torchscript")
        example = next(self.data.test.batches(self.data.preprocessing, EXAMPLE, limit=EXAMPLE))[0]
        script = write_torchscript(self.network, torch.from_numpy(example), path)

        def infer(inputs: NDArray[np.float32]) -> NDArray[Any]:
            with torch.inference_mode():
                answers: NDArray[Any] = script(torch.from_numpy(inputs)).numpy()
            return answers

        return infer, self._description("torchscript", "torchscript", path, Runtime.TORCH, {"simulated": True})

    def _integers(self) -> IntegerNetwork:
        return to_integers(self.network, _shape(self.data))

    def _description(
        self, name: str, kind: str, path: Path, runtime: Runtime, facts: Mapping[str, Any]
    ) -> ArtifactDescription:
        return ArtifactDescription(
            name=name,
            format=kind,
            files=(path.name,),
            precision=precision_of(self.network),
            runtime=runtime,
            signature=signature_of(self.data.preprocessing, self.architecture.num_classes),
            preprocessing=self.data.preprocessing,
            details={**description_details(self.architecture, self.data.train.classes), **facts},
        )

    def _compare(self, name: Export, infer: Infer, description: ArtifactDescription) -> None:
        expected = self._expected_answers()
        found = np.concatenate([infer(inputs) for inputs in self._pictures()])
        required = min(REQUIRED_AGREEMENT[name], 100 * (1 - 1 / len(expected)))
        figures = check_parity(expected, found, max_abs=None, min_agreement=required)
        report_parity(
            self.context,
            figures,
            runtime=description.runtime,
            dataset="data",
            split=self.params.test_split,
            details={"export": name, "largest_logit": float(np.abs(expected).max())},
        )
        self.context.log(
            f"{name}: the same answer for {figures.agreement_top1:.2f} % of {figures.samples} pictures, "
            f"largest difference {figures.max_abs_diff:.2g} of logits up to {np.abs(expected).max():.2g}."
        )

    def _expected_answers(self) -> NDArray[Any]:
        if self._expected is None:
            self.network.eval()
            with torch.inference_mode():
                parts = [self.network(torch.from_numpy(inputs)).float().numpy() for inputs in self._pictures()]
            self._expected = np.concatenate(parts)
        return self._expected

    def _pictures(self) -> Any:
        limit = min(self.params.parity_samples, self.params.limit_test_samples or self.params.parity_samples)
        for inputs, _ in self.data.test.batches(self.data.preprocessing, BATCH, limit=limit):
            self.context.raise_if_cancelled()
            yield inputs
