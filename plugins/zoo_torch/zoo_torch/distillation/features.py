"""Hidden layers: recorded while a network runs, brought to the same shape, and compared."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_sdk.errors import InvalidInput

MAX_LISTED_LAYERS = 40


class FeatureTap:
    """The outputs of named layers of ``network``, from one run at a time.

    The hooks are there while :meth:`recording` lasts and at no other time, so that a copy, an evaluation or an export
    of the network knows nothing of them.  Where the next layer works in place (a ReLU after a normalisation, mostly),
    what is recorded is its output.

    Raises:
        InvalidInput: there is no such layer; lists those that there are.

    """

    def __init__(self, network: nn.Module, names: Sequence[str], reference: str) -> None:
        known = dict(network.named_modules())
        for name in names:
            if not name or name not in known:
                listed = _outer_layers(network)
                raise InvalidInput(
                    f"{reference} has no layer {name!r}.",
                    hint=f"It has {', '.join(listed)}, and others inside them.",
                    facts={"field": "layers", "layer": name},
                )
        self._layers = {name: known[name] for name in names}
        self._reference = reference

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Collects the layers' outputs by name into the dictionary that it gives."""
        found: dict[str, Tensor] = {}
        handles = [layer.register_forward_hook(_keeper(found, name)) for name, layer in self._layers.items()]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()
        for name in self._layers:
            if not isinstance(found.get(name), Tensor):
                raise InvalidInput(
                    f"The layer {name!r} of {self._reference} gave no tensor in a run of the network.",
                    hint="Name a layer that the network calls and that has one output.",
                    facts={"field": "layers", "layer": name},
                )


def _keeper(found: dict[str, Tensor], name: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        found[name] = output

    return keep


def _outer_layers(network: nn.Module) -> list[str]:
    """The names of the modules two levels deep."""
    names = [name for name, _ in network.named_modules() if name and name.count(".") < 2]
    return names[:MAX_LISTED_LAYERS]


def probe_shapes(
    network: nn.Module, names: Sequence[str], reference: str, sample: Tensor
) -> dict[str, tuple[int, ...]]:
    """The shapes of layers' outputs for one sample, without the batch.

    Args:
        network: stays as it is, its running statistics too.
        names: of layers.
        reference: names the network in errors.
        sample: an input (1, C, H, W).

    """
    was_training = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), FeatureTap(network, names, reference).recording() as found:
            network(sample)
    finally:
        for module, training in was_training:
            module.training = training
    return {name: tuple(output.shape[1:]) for name, output in found.items()}


def adapter_between(student: Sequence[int], teacher: Sequence[int], layer: str) -> nn.Module:
    """What makes a student's feature comparable to a teacher's, from their shapes without the batch.

    Maps (C, H, W): a 1 x 1 convolution.  Tokens (N, D) and vectors (D): a linear layer.

    Raises:
        InvalidInput: one has a map and the other has tokens, or the numbers of tokens differ.

    """
    if len(student) == len(teacher) == 3:
        return nn.Conv2d(student[0], teacher[0], 1)
    if len(student) == len(teacher) and (len(student) == 1 or (len(student) == 2 and student[0] == teacher[0])):
        return nn.Linear(student[-1], teacher[-1])
    raise unlike_features(student, teacher, layer)


def unlike_features(student: Sequence[int], teacher: Sequence[int], layer: str) -> InvalidInput:
    """The error for two layers that cannot be compared."""
    return InvalidInput(
        f"The student's layer {layer!r} gives {list(student)} for each sample, but the teacher's {list(teacher)}.",
        hint="Pair layers of the same kind: maps (C, H, W), as many tokens (N, D), or vectors (D).",
        facts={"field": "layers", "layer": layer},
    )


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Average the larger of two maps (batch, C, H, W) down to the other's height and width."""
    if student.ndim != 4 or student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    return F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two features of the same shape (batch, ...); a scalar.

    Romero, Ballas, Kahou, Chassang, Gatta, Bengio: FitNets, ICLR 2015 (arXiv 1412.6550), equation 3, with the mean over
    the elements in place of half their sum, so that its size does not depend on that of the layer.
    """
    return F.mse_loss(student.float(), teacher.float())


def adapter_names(layers: Mapping[str, str]) -> dict[str, str]:
    """A module name, which may have no dots, for each student layer."""
    return {layer: layer.replace(".", "_") for layer in layers}
