"""What an operation hands back: the weights with their description, and the measurements of a trained network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from zoo_sdk.artifacts import ArtifactDescription, Preprocessing, Signature, TensorSpec
from zoo_sdk.context import OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name
from zoo_torch.measuring.scoring import count_macs, count_parameters
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import save_weights
from zoo_torch.quantization.weight_bits import precision_of
from zoo_torch.training.trainer import Trainer
from zoo_vision.scoring import report

WEIGHTS_FILE = "model.safetensors"
MAX_CLASS_NAMES = 1000
"""More names would make the description, which every listing carries, too large."""


def signature_of(preprocessing: Preprocessing, num_classes: int) -> Signature:
    """One image batch in, one batch of logits out; the batch is dynamic."""
    shape = (None, preprocessing.channels, *preprocessing.crop)
    return Signature(
        inputs=(TensorSpec(name="input", shape=shape, layout="NCHW"),),
        outputs=(TensorSpec(name="logits", shape=(None, num_classes), layout="NC"),),
    )


def description_details(architecture: Architecture, classes: tuple[str, ...]) -> dict[str, Any]:
    """Facts for the artifact's description; no ``classes``: they have no names."""
    details: dict[str, Any] = {"architecture": architecture.model_dump(mode="json")}
    if classes and len(classes) <= MAX_CLASS_NAMES:
        details["classes"] = list(classes)
    return details


def runtime_facts(device: torch.device, context: OperationContext) -> dict[str, Any]:
    """What a figure depends on."""
    return {"threads": context.threads, "torch": torch.__version__, "device_type": device.type}


def measure_cost(
    network: nn.Module, preprocessing: Preprocessing, size_bytes: int, context: OperationContext, device: torch.device
) -> None:
    """Measure parameters, MACs and size."""
    context.measure("parameters", count_parameters(network))
    context.measure("macs", count_macs(network, preprocessing, device), details={"input": [*preprocessing.crop]})
    context.measure("size_bytes", size_bytes, runtime=Runtime.TORCH)


def write_weights(
    network: nn.Module,
    architecture: Architecture,
    preprocessing: Preprocessing,
    context: OperationContext,
    *,
    device: torch.device,
    classes: tuple[str, ...],
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, describe them and measure their cost; ``details`` are further facts of the artifact."""
    path = context.output() / WEIGHTS_FILE
    save_weights(network, architecture, path)
    context.artifact(
        ArtifactDescription(
            format="safetensors",
            files=(WEIGHTS_FILE,),
            precision=precision_of(network),
            runtime=Runtime.TORCH,
            signature=signature_of(preprocessing, architecture.num_classes),
            preprocessing=preprocessing,
            details={**description_details(architecture, classes), **(details or {})},
        )
    )
    measure_cost(network, preprocessing, path.stat().st_size, context, device)


def hand_over(
    trainer: Trainer, architecture: Architecture, seconds: float, *, details: Mapping[str, Any] | None = None
) -> None:
    """Score a trained network, write its weights and describe them; ``details`` are further facts of the artifact."""
    context, data, device = trainer.context, trainer.data, trainer.device
    score = trainer.score()
    report(
        context,
        score,
        dataset="data",
        split=trainer.params.test_split,
        runtime=Runtime.TORCH,
        device=device_name(device),
        details=runtime_facts(device, context),
    )
    classes = data.train.classes
    write_weights(
        trainer.network, architecture, data.preprocessing, context, device=device, classes=classes, details=details
    )
    context.measure("train_seconds", seconds, device=device_name(device), details=runtime_facts(device, context))
    context.progress(trainer.total_steps + 1, trainer.total_steps + 1, f"top1 {score.top1:.2f} %")
