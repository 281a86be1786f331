"""Does a converted model compute what its source computes?  Compares the outputs of both for the same inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import Cancelled, OperationError, ParityFailed
from zoo_sdk.vocabulary import Precision
from zoo_vision.bisection import WorstLayer

Locate = Callable[[int], WorstLayer | None]
"""Finds, for the sample at that position, the layer at which the two models part; None where it cannot be told."""

LocateBehind = Callable[[int, int], WorstLayer | None]
"""The same for one of several outputs: the position of the sample, then that of the output."""

RELATIVE_TOLERANCES: Mapping[str, float] = MappingProxyType(
    {Precision.FP32: 1e-4, Precision.FP16: 1e-2, Precision.BF16: 5e-2, Precision.INT8: 5e-2}
)
"""How far an output may be from the source's, by the precision of the new model, as a part of the largest output.

Conversions of a model that is INT8 already are meant by the last; quantization itself is judged by agreement."""

NOT_FINITE = "The new model gave an output that is not a finite number, where its source gives one."
CHECK_CHANGES = "Check what the conversion changed."
LOOK_FOR_CHANGES = "Look for what changed the outputs; loosen the limits only if the loss is acceptable."


@dataclass(frozen=True)
class OutputPart:
    """One of the outputs that lie beside each other in a row: its name, and how many values it has for a sample."""

    name: str
    values: int


@dataclass(frozen=True)
class OutputFigures:
    """What a comparison found of one of several outputs."""

    name: str
    max_abs_diff: float
    mean_abs_diff: float
    allowed_max_abs_diff: float


@dataclass(frozen=True)
class ParityFigures:
    """What a comparison found.  ``agreement_top1`` is the percent of samples with the same largest output.

    Where the outputs are no class scores (several outputs, or maps), there is no agreement, ``outputs`` has each by
    itself, and the allowed difference is that of the output with the largest one.
    """

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    agreement_top1: float | None
    allowed_max_abs_diff: float | None
    required_agreement_top1: float | None
    outputs: tuple[OutputFigures, ...] = ()


def tolerance_for(precision: str, reference: NDArray[Any]) -> float:
    """The largest allowed difference of an output: by precision, and relative to the largest of ``reference`` or to 1.

    Raises:
        ParityFailed: the source's outputs are not finite, so nothing can be compared with them.

    """
    check_source_is_finite(reference)
    relative = RELATIVE_TOLERANCES.get(precision, RELATIVE_TOLERANCES[Precision.INT8])
    return relative * max(1.0, float(np.abs(reference).max(initial=0.0)))


def check_source_is_finite(reference: NDArray[Any]) -> None:
    """Raise :class:`ParityFailed` if the source itself gives NaN or infinity; ask before the costly work."""
    if not np.isfinite(reference).all():
        raise ParityFailed(
            "The source gave an output that is not a finite number.",
            hint="Check its weights, and whether its preprocessing is the one that it was trained with.",
        )


def check_parity(
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    max_abs: float | None,
    min_agreement: float = 99.0,
    locate: Locate | None = None,
) -> ParityFigures:
    """Compare the outputs (N, C) of a source model and of what was made from it.

    Args:
        reference: outputs of the source.
        candidate: outputs of the new model for the same inputs.
        max_abs: largest allowed absolute difference; None where only the agreement counts (quantization).
        min_agreement: smallest allowed agreement of the top class, in percent.
        locate: asked on failure for the layer at which the models part, on the sample with the largest difference.

    Raises:
        ParityFailed: with the figures, and the worst layer if it was found, in its text and in ``facts``.

    """
    _check_comparable(reference, candidate)
    if not np.isfinite(candidate).all():
        raise _failed(NOT_FINITE, CHECK_CHANGES, {}, locate, worst_sample(reference, candidate))
    difference = np.abs(reference.astype(np.float64) - candidate.astype(np.float64))
    agreement = float((reference.argmax(axis=1) == candidate.argmax(axis=1)).mean() * 100)
    figures = ParityFigures(
        samples=len(reference),
        max_abs_diff=float(difference.max()),
        mean_abs_diff=float(difference.mean()),
        agreement_top1=agreement,
        allowed_max_abs_diff=max_abs,
        required_agreement_top1=min_agreement,
    )
    if (max_abs is not None and figures.max_abs_diff > max_abs) or agreement < min_agreement:
        limit = "no limit" if max_abs is None else f"allowed {max_abs:.3g}"
        detail = (
            f"The new model does not compute what its source computes, over {figures.samples} samples: "
            f"largest difference {figures.max_abs_diff:.4g} ({limit}), mean difference {figures.mean_abs_diff:.4g}, "
            f"same top class {agreement:.2f} % (required {min_agreement:g} %)."
        )
        raise _failed(detail, LOOK_FOR_CHANGES, asdict(figures), locate, worst_sample(reference, candidate))
    return figures


def parts_of(names: Sequence[str], outputs: Sequence[NDArray[Any]]) -> tuple[OutputPart, ...]:
    """How outputs lie beside each other, from those of one sample; none for a single one of class scores (1, C)."""
    if len(outputs) == 1 and outputs[0].ndim == 2:
        return ()
    return tuple(OutputPart(name, output[:1].size) for name, output in zip(names, outputs, strict=True))


def check_conversion(
    reference: NDArray[Any],
    candidate: NDArray[Any],
    parts: Sequence[OutputPart],
    *,
    precision: str,
    max_abs: float | None,
    min_agreement: float = 99.0,
    locate: LocateBehind,
) -> ParityFigures:
    """:func:`check_parity` for class scores (no ``parts``), else :func:`check_outputs`.

    ``max_abs`` None: the tolerance of ``precision``.
    """
    if parts:
        return check_outputs(reference, candidate, parts, precision=precision, max_abs=max_abs, locate=locate)
    return check_parity(
        reference,
        candidate,
        max_abs=tolerance_for(precision, reference) if max_abs is None else max_abs,
        min_agreement=min_agreement,
        locate=lambda sample: locate(sample, 0),
    )


def check_outputs(
    reference: NDArray[Any],
    candidate: NDArray[Any],
    parts: Sequence[OutputPart],
    *,
    precision: str,
    max_abs: float | None = None,
    locate: LocateBehind | None = None,
) -> ParityFigures:
    """Compare models whose outputs are no class scores: each output by itself, and no top class.

    Args:
        reference: all outputs of the source beside each other, (N, values).
        candidate: those of the new model for the same inputs.
        parts: the outputs in their order.
        precision: of the new model; it gives the tolerance of each output, relative to its own largest value.
        max_abs: largest allowed absolute difference of any output, in place of that tolerance.
        locate: asked on failure for the layer at which the models part, for the output that is furthest beyond its
            tolerance, on the sample with its largest difference.

    Raises:
        ParityFailed: with the figures of every output.

    """
    _check_comparable(reference, candidate)
    found, start = [], 0
    for number, part in enumerate(parts):
        columns = slice(start, start + part.values)
        start += part.values
        wanted, given = reference[:, columns], candidate[:, columns]
        behind = None if locate is None else _behind(locate, number)
        if not np.isfinite(given).all():
            raise _failed(
                f"{part.name!r}: {NOT_FINITE}",
                CHECK_CHANGES,
                {"output": part.name},
                behind,
                worst_sample(wanted, given),
            )
        difference = np.abs(wanted.astype(np.float64) - given.astype(np.float64))
        allowed = tolerance_for(precision, wanted) if max_abs is None else max_abs
        figures = OutputFigures(part.name, float(difference.max()), float(difference.mean()), allowed)
        found.append((figures, behind, worst_sample(wanted, given)))
    whole = _together(reference, candidate, [figures for figures, _, _ in found])
    wrong = [item for item in found if item[0].max_abs_diff > item[0].allowed_max_abs_diff]
    if wrong:
        _, behind, sample = max(wrong, key=lambda item: item[0].max_abs_diff / max(item[0].allowed_max_abs_diff, 1e-30))
        told = "; ".join(
            f"{one.name!r}: largest difference {one.max_abs_diff:.4g} (allowed {one.allowed_max_abs_diff:.3g}), "
            f"mean difference {one.mean_abs_diff:.4g}"
            for one, _, _ in wrong
        )
        detail = (
            f"{len(wrong)} of the new model's {len(parts)} outputs are not what its source computes, "
            f"over {len(reference)} samples: {told}."
        )
        raise _failed(detail, LOOK_FOR_CHANGES, asdict(whole), behind, sample)
    return whole


def _behind(locate: LocateBehind, number: int) -> Locate:
    return lambda sample: locate(sample, number)


def _together(reference: NDArray[Any], candidate: NDArray[Any], outputs: Sequence[OutputFigures]) -> ParityFigures:
    largest = max(outputs, key=lambda one: one.max_abs_diff)
    return ParityFigures(
        samples=len(reference),
        max_abs_diff=largest.max_abs_diff,
        mean_abs_diff=float(np.abs(reference.astype(np.float64) - candidate.astype(np.float64)).mean()),
        agreement_top1=None,
        allowed_max_abs_diff=largest.allowed_max_abs_diff,
        required_agreement_top1=None,
        outputs=tuple(outputs),
    )


def _check_comparable(reference: NDArray[Any], candidate: NDArray[Any]) -> None:
    """Raise :class:`ParityFailed` unless both are (N, values) of one shape, and the source's are finite."""
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise ParityFailed(
            f"The outputs cannot be compared: the source gave the shape {reference.shape}, "
            f"the new model {candidate.shape}.",
            facts={"reference_shape": list(reference.shape), "candidate_shape": list(candidate.shape)},
        )
    check_source_is_finite(reference)


def worst_sample(reference: NDArray[Any], candidate: NDArray[Any]) -> int:
    """The position of the sample whose outputs (N, C) differ most; one that is not finite differs most of all."""
    difference = np.abs(reference.astype(np.float64) - candidate.astype(np.float64)).max(axis=1)
    return int(np.nan_to_num(difference, nan=np.inf).argmax())


def _failed(detail: str, hint: str, facts: Mapping[str, Any], locate: Locate | None, sample: int) -> ParityFailed:
    """The error, with the layer at which the models part where that can be told."""
    if locate is None:
        return ParityFailed(detail, hint=hint, facts=facts)
    try:
        worst = locate(sample)
    except Cancelled:
        raise
    except OperationError as error:
        return ParityFailed(f"{detail} The layer was not found: {error.detail}", hint=hint, facts=facts)
    if worst is None:
        told = "Nothing inside the models can be compared, so the layer is not known."
        return ParityFailed(f"{detail} {told}", hint=hint, facts=facts)
    return ParityFailed(f"{detail} {worst}", hint=hint, facts={**facts, "worst_layer": worst.facts})


def report_parity(
    context: OperationContext,
    figures: ParityFigures,
    *,
    runtime: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Measure the differences, and the agreement if there is one; ``dataset`` is the input port, if any."""
    facts = {
        **(details or {}),
        "samples": figures.samples,
        "allowed_max_abs_diff": figures.allowed_max_abs_diff,
        "required_agreement_top1": figures.required_agreement_top1,
    }
    if figures.outputs:
        facts["outputs"] = [asdict(output) for output in figures.outputs]
    for name in ("agreement_top1", "max_abs_diff", "mean_abs_diff"):
        value = getattr(figures, name)
        if value is not None:
            context.measure(name, value, dataset=dataset, split=split, runtime=runtime, details=facts)
