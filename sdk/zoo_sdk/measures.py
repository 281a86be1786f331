"""The registry of metric names: unit, direction and meaning.  A name that is not here is an error."""

from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict

from zoo_sdk.errors import UnknownName


class Measure(BaseModel):
    """A metric's definition.  ``direction``: which way is better (``none``: a fact, neither good nor bad)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    direction: Literal["higher", "lower", "none"]
    title: str


_MEASURES = (
    Measure(name="top1", unit="%", direction="higher", title="Top-1 accuracy"),
    Measure(name="top5", unit="%", direction="higher", title="Top-5 accuracy"),
    Measure(name="box_ap", unit="%", direction="higher", title="Box average precision, IoU .50:.95"),
    Measure(name="mask_ap", unit="%", direction="higher", title="Mask average precision, IoU .50:.95"),
    Measure(name="loss", unit="", direction="lower", title="Mean cross-entropy"),
    Measure(name="f1_macro", unit="%", direction="higher", title="Mean F1 score of the classes"),
    Measure(
        name="calibration_error",
        unit="%",
        direction="lower",
        title="Expected calibration error, 15 bins of equal width",
    ),
    Measure(
        name="agreement_top1", unit="%", direction="higher", title="Top-1 agreement with the source or another model"
    ),
    Measure(name="max_abs_diff", unit="", direction="lower", title="Largest difference to the source model's outputs"),
    Measure(name="mean_abs_diff", unit="", direction="lower", title="Mean difference to the source model's outputs"),
    Measure(name="latency_ms", unit="ms", direction="lower", title="Median latency of one batch"),
    Measure(name="latency_ms_p95", unit="ms", direction="lower", title="95th percentile of latency of one batch"),
    Measure(name="latency_ms_p99", unit="ms", direction="lower", title="99th percentile of latency of one batch"),
    Measure(name="load_ms", unit="ms", direction="lower", title="Time from the file to a model that is ready"),
    Measure(
        name="peak_memory_bytes", unit="bytes", direction="lower", title="Largest memory of the process with the model"
    ),
    Measure(name="throughput", unit="samples/s", direction="higher", title="Samples per second"),
    Measure(name="size_bytes", unit="bytes", direction="lower", title="Size of the artifact's files"),
    Measure(name="parameters", unit="", direction="lower", title="Number of parameters"),
    Measure(name="macs", unit="", direction="lower", title="Multiply-accumulate operations for one sample"),
    Measure(name="effective_bits", unit="bit", direction="lower", title="Mean bits per weight"),
    Measure(
        name="effective_size_bytes", unit="bytes", direction="lower", title="Size with each weight packed to its bits"
    ),
    Measure(name="train_seconds", unit="s", direction="lower", title="Wall time of the training"),
)
MEASURES = MappingProxyType({item.name: item for item in _MEASURES})


def find_measure(name: str) -> Measure:
    """The definition of that metric; raises :class:`UnknownName` with the nearest known ones."""
    if name not in MEASURES:
        raise UnknownName("metric", name, MEASURES)
    return MEASURES[name]
