"""Where do two models part?  Finds the layer at which the values inside a model begin to differ from its source's.

No framework is needed here: whoever compares gives two functions that run a model and answer values inside it
(ONNX: intermediate tensors as extra outputs; OpenVINO: added results; PyTorch: forward hooks).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.vocabulary import Precision

PORTION = 8
"""Values that are looked at in one run of each model: more take memory, fewer take more runs."""
ROUNDING: Mapping[str, float] = MappingProxyType(
    {Precision.FP32: 1e-6, Precision.FP16: 1e-3, Precision.BF16: 8e-3, Precision.INT8: 1e-2}
)
"""The relative error that rounding alone gives inside a network, by the precision of the new model."""

Values = Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]
"""Runs a model, always on the same inputs, and answers the values of those names; it may leave some out."""


@dataclass(frozen=True)
class Layer:
    """A value inside both models: its name, and the kind of operation that makes it in the source."""

    name: str
    kind: str


@dataclass(frozen=True)
class WorstLayer:
    """The layer where the error begins: its own relative error, and that of the last right value before it.

    ``position`` counts from 1 among the ``layers`` that both models have; ``runs``: how often each model was run.
    """

    name: str
    kind: str
    error: float
    error_before: float
    position: int
    layers: int
    runs: int

    def __str__(self) -> str:
        return (
            f"The difference begins at {self.name!r} ({self.kind}, {self.position} of {self.layers} layers): "
            f"relative error {self.error:.3g} there, {self.error_before:.3g} before it."
        )

    @property
    def facts(self) -> dict[str, Any]:
        """As plain data for an error or a report; an infinite error is told as None."""
        finite = {"error": self.error if np.isfinite(self.error) else None}
        return {**asdict(self), **finite}


def relative_error(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """The length of the difference over the length of ``reference``; infinite if either has a value that is not finite.

    Both have the same shape.
    """
    wanted, found = reference.astype(np.float64), candidate.astype(np.float64)
    if not (np.isfinite(wanted).all() and np.isfinite(found).all()):
        return float("inf")
    length = float(np.linalg.norm(wanted))
    return float(np.linalg.norm(wanted - found)) / max(length, float(np.finfo(np.float32).tiny))


def find_worst_layer(
    layers: Sequence[Layer],
    source: Values,
    candidate: Values,
    *,
    output: Layer,
    output_error: float,
    precision: str = Precision.FP32,
) -> WorstLayer | None:
    """Search between the input, which is right, and the output, which is wrong, for where the error begins.

    Each step looks at a few values evenly spread over what is left, so a network of 300 layers takes three steps.
    Where an error fades and comes back, one of the places where it begins is found.

    Args:
        layers: values that both models should have, in the order in which they are computed; without the output.
        source: answers values of the source.
        candidate: answers values of the new model, for the same inputs.
        output: the output, which is named if the error begins after all ``layers``.
        output_error: :func:`relative_error` of the outputs for these inputs.
        precision: of the new model: a value counts as wrong from midway (on a logarithmic scale) between rounding and
            the output's error on.

    Returns:
        None if no value can be compared: neither name occurs in both, or no shape agrees.

    """
    rounding = ROUNDING.get(precision, ROUNDING[Precision.FP32])
    wrong_from = sqrt(min(rounding, output_error) * output_error)
    errors: dict[int, float] = {}
    left = list(range(len(layers)))
    right_until, wrong_at, runs = -1, len(layers), 0
    while left:
        chosen = _evenly_spread(left, PORTION)
        found = _errors([layers[index].name for index in chosen], source, candidate)
        runs += 1
        known = {index: found[layers[index].name] for index in chosen if layers[index].name in found}
        errors |= known
        wrong_at = min((index for index, error in known.items() if error >= wrong_from), default=wrong_at)
        right_until = max((index for index in known if index < wrong_at), default=right_until)
        left = [index for index in left if right_until < index < wrong_at and index not in chosen]
    if not errors:
        return None
    end = Layer(output.name, output.kind) if wrong_at == len(layers) else layers[wrong_at]
    return WorstLayer(
        name=end.name,
        kind=end.kind,
        error=errors.get(wrong_at, output_error),
        error_before=errors.get(right_until, 0.0),
        position=wrong_at + 1,
        layers=len(layers) + 1,
        runs=runs,
    )


def _evenly_spread(items: Sequence[int], count: int) -> list[int]:
    if len(items) <= count:
        return list(items)
    positions = np.linspace(0, len(items), count + 1, endpoint=False)[1:].astype(int)
    return [items[position] for position in positions]


def _errors(names: Sequence[str], source: Values, candidate: Values) -> dict[str, float]:
    """Relative errors by name, without those that cannot be compared."""
    wanted, found = source(names), candidate(names)
    both = [name for name in names if name in wanted and name in found]
    return {name: relative_error(wanted[name], found[name]) for name in both if wanted[name].shape == found[name].shape}
