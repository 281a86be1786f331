"""Is a classifier right as often as it is sure?  The expected calibration error.

Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3: samples are put by their confidence
(the largest probability) into bins of equal width, bin m holding ((m-1)/M, m/M]; the error is the mean over samples of
the difference between the bin's accuracy and its mean confidence.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""As in the paper's tables; a different number gives a different error."""


@dataclass(frozen=True)
class CalibrationBin:
    """Samples with a confidence above ``low`` and up to ``high``; accuracy and confidence are None for an empty one."""

    low: float
    high: float
    samples: int
    accuracy: float | None
    confidence: float | None


@dataclass(frozen=True)
class Calibration:
    """``error``: the expected one, ``largest``: that of the worst bin; both in 0..1."""

    error: float
    largest: float
    bins: tuple[CalibrationBin, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, rounded to six digits."""
        rows = [
            {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(item).items()}
            for item in self.bins
        ]
        return {"error": round(self.error, 6), "largest": round(self.largest, 6), "bins": rows}


def calibration(confidences: NDArray[Any], correct: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """The calibration of ``confidences`` (N,) in 0..1 of predictions that are ``correct`` (N,) or not; N > 0."""
    values = confidences.astype(np.float64)
    # The right edge belongs to a bin, and what is exactly 0 to the first one.
    places = np.clip(np.ceil(values * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sure = np.bincount(places, weights=values, minlength=bins)
    right = np.bincount(places, weights=correct.astype(np.float64), minlength=bins)
    filled = counts > 0
    gaps = np.zeros(bins)
    gaps[filled] = np.abs(right[filled] - sure[filled]) / counts[filled]
    rows = tuple(
        CalibrationBin(
            low=index / bins,
            high=(index + 1) / bins,
            samples=int(counts[index]),
            accuracy=float(right[index] / counts[index]) if counts[index] else None,
            confidence=float(sure[index] / counts[index]) if counts[index] else None,
        )
        for index in range(bins)
    )
    return Calibration(error=float((gaps * counts).sum() / counts.sum()), largest=float(gaps.max()), bins=rows)
