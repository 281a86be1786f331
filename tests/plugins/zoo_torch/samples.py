"""Runs of the plugin's operations on scikit-learn's digits, and models made by them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.zoo_vision.samples import DIGITS, PREPROCESSING, npz_digits
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing, Signature, TensorSpec
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.messages import EventBody, LogEvent, MetricEvent
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import save_weights

__all__ = ["DIGITS", "PREPROCESSING", "Outcome", "digest", "fresh_model", "npz_digits", "perform", "pickle_item"]
SMALL: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 64,
    "limit_samples": 640,
    "limit_test_samples": 200,
    "learning_rate": 0.1,
}


@dataclass
class Outcome:
    """What a run reported and made."""

    context: LocalContext
    events: list[EventBody] = field(default_factory=list)

    @property
    def model(self) -> Path:
        return self.context.output() / self.context.artifacts["model"][0].files[0]

    @property
    def item(self) -> InputItem:
        artifact = self.context.artifacts["model"][0]
        return InputItem(reference="digits/made@1", folder=self.context.output(), artifact=artifact)

    def measured(self, name: str) -> float:
        return next(item.value for item in self.context.measurements if item.name == name)

    def curve(self, name: str) -> list[tuple[int | None, float]]:
        return [(item.step, item.value) for item in self.events if isinstance(item, MetricEvent) and item.name == name]

    @property
    def lines(self) -> str:
        return "\n".join(item.message for item in self.events if isinstance(item, LogEvent))


def perform(
    operation: str,
    folder: Path,
    ports: dict[str, InputItem | Sequence[InputItem]],
    *,
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
    **params: Any,
) -> Outcome:
    """Run in this process with one thread."""
    spec = find_operation(operation)
    outcome = Outcome(LocalContext(spec, Workplace.under(folder), seed=seed, cancelled=cancelled))
    outcome.context.emit = outcome.events.append
    items = {name: (given,) if isinstance(given, InputItem) else tuple(given) for name, given in ports.items()}
    run_operation(spec, params, Inputs(ports=items), outcome.context)
    return outcome


def fresh_model(
    folder: Path,
    *,
    name: str = "zoo:conv_tiny",
    classes: int = 10,
    seed: int = 0,
    preprocessing: Preprocessing = PREPROCESSING,
    weight: float | None = None,
) -> InputItem:
    """Untrained weights as a model input."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    architecture = Architecture(name=name, num_classes=classes, in_chans=preprocessing.channels)
    save_weights(architecture.build(), architecture, folder / "model.safetensors")
    artifact = ArtifactDescription(format="safetensors", files=("model.safetensors",), preprocessing=preprocessing)
    return InputItem(reference=f"digits/{folder.name}@1", folder=folder, artifact=artifact, weight=weight)


def pickle_item(folder: Path, content: object) -> InputItem:
    """Whatever ``torch.save`` writes, as a model input of the format pickle with a signature for digits."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "model.pth")
    signature = Signature(
        inputs=(TensorSpec(name="input", shape=(None, 1, 8, 8)),),
        outputs=(TensorSpec(name="logits", shape=(None, 10)),),
    )
    artifact = ArtifactDescription(
        format="pickle", files=("model.pth",), signature=signature, preprocessing=PREPROCESSING
    )
    return InputItem(reference="digits/pickled@1", folder=folder, artifact=artifact)


def build(name: str, *, classes: int = 10, channels: int = 1, seed: int = 0) -> nn.Module:
    """An untrained network."""
    torch.manual_seed(seed)
    return Architecture(name=name, num_classes=classes, in_chans=channels).build()


def digest(path: Path) -> str:
    """sha256 of a file."""
    return sha256(path.read_bytes()).hexdigest()
