"""Does a converted model compute what its source computes?  Compares the outputs of both for the same inputs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.context import OperationContext
from zoo_sdk.errors import ParityFailed


@dataclass(frozen=True)
class ParityFigures:
    """What a comparison found.  ``agreement_top1`` is the percent of samples with the same largest output."""

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    agreement_top1: float
    allowed_max_abs_diff: float | None
    required_agreement_top1: float


def check_parity(
    reference: NDArray[Any], candidate: NDArray[Any], *, max_abs: float | None, min_agreement: float = 99.0
) -> ParityFigures:
    """Compare the outputs (N, C) of a source model and of what was made from it.

    Args:
        reference: outputs of the source.
        candidate: outputs of the new model for the same inputs.
        max_abs: largest allowed absolute difference; None where only the agreement counts (quantization).
        min_agreement: smallest allowed agreement of the top class, in percent.

    Raises:
        ParityFailed: with the figures in its text and in ``facts``.

    """
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise ParityFailed(
            f"The outputs cannot be compared: the source gave the shape {reference.shape}, "
            f"the new model {candidate.shape}.",
            facts={"reference_shape": list(reference.shape), "candidate_shape": list(candidate.shape)},
        )
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        which = "new model" if np.isfinite(reference).all() else "source"
        raise ParityFailed(f"The {which} gave an output that is not a finite number.", hint="Check its weights.")
    difference = np.abs(reference.astype(np.float64) - candidate.astype(np.float64))
    figures = ParityFigures(
        samples=len(reference),
        max_abs_diff=float(difference.max()),
        mean_abs_diff=float(difference.mean()),
        agreement_top1=float((reference.argmax(axis=1) == candidate.argmax(axis=1)).mean() * 100),
        allowed_max_abs_diff=max_abs,
        required_agreement_top1=min_agreement,
    )
    if (max_abs is not None and figures.max_abs_diff > max_abs) or figures.agreement_top1 < min_agreement:
        limit = "no limit" if max_abs is None else f"allowed {max_abs:.3g}"
        raise ParityFailed(
            f"The new model does not compute what its source computes, over {figures.samples} samples: "
            f"largest difference {figures.max_abs_diff:.4g} ({limit}), mean difference {figures.mean_abs_diff:.4g}, "
            f"same top class {figures.agreement_top1:.2f} % (required {min_agreement:g} %).",
            hint="Look for what changed the outputs; loosen the limits only if the loss is acceptable.",
            facts=asdict(figures),
        )
    return figures


def report_parity(
    context: OperationContext,
    figures: ParityFigures,
    *,
    runtime: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Measure ``agreement_top1``, ``max_abs_diff`` and ``mean_abs_diff``; ``dataset`` is the input port, if any."""
    facts = {
        **(details or {}),
        "samples": figures.samples,
        "allowed_max_abs_diff": figures.allowed_max_abs_diff,
        "required_agreement_top1": figures.required_agreement_top1,
    }
    for name in ("agreement_top1", "max_abs_diff", "mean_abs_diff"):
        context.measure(name, getattr(figures, name), dataset=dataset, split=split, runtime=runtime, details=facts)
