"""Which metrics belong to which task: a registry of metric families, which plugins may add to.

A family collects over the batches of a split and says in the end what it found.  Images are classified by
:class:`zoo_vision.classification.ClassificationMetrics`.  A plugin for another task (box and mask AP for detection and
segmentation) registers its own when its operation is imported::

    register_family("object-detection", BoxMetrics)

:func:`zoo_vision.evaluation.evaluate` then scores every data set of that task with it, in any runtime.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import Conflict, UnknownName
from zoo_vision.datasets import ImageSplit


class Finding(NamedTuple):
    """A number of :data:`zoo_sdk.measures.MEASURES`, and the counts behind it."""

    name: str
    value: float
    details: Mapping[str, Any] = {}


class MetricFamily(Protocol):
    """Collects a model's outputs over a split; made anew for each evaluation."""

    kind: str
    """Names its reports, such as ``classification``."""

    @property
    def samples(self) -> int:
        """Samples collected so far."""

    def update(self, outputs: NDArray[Any], targets: NDArray[Any]) -> None:
        """Add a batch: outputs of the model, and what the data set says, as the model numbers it."""

    def findings(self) -> Sequence[Finding]:
        """The numbers, the main one first."""

    def report(self) -> dict[str, Any]:
        """What is more than a number, as plain values of bounded size."""

    def agreement(self, other: "MetricFamily") -> Finding | None:
        """How often ``other``, of the same family over the same samples, says the same; None: not defined."""


class FamilyFactory(Protocol):
    """Makes a family for one evaluation."""

    def __call__(self, split: ImageSplit, preprocessing: Preprocessing) -> MetricFamily: ...


_FAMILIES: dict[str, FamilyFactory] = {}


def register_family(task: str, factory: FamilyFactory) -> None:
    """Score data sets of ``task`` with ``factory``; registering the same one again changes nothing.

    Raises:
        Conflict: another family is registered for that task.

    """
    if _FAMILIES.setdefault(task, factory) is not factory:
        raise Conflict(f"There is a family of metrics for {task!r} already: {_FAMILIES[task]!r}.")


def family_for(task: str) -> FamilyFactory:
    """The family of that task; raises :class:`UnknownName` with the tasks that have one."""
    if task not in _FAMILIES:
        raise UnknownName("task with metrics", task, _FAMILIES)
    return _FAMILIES[task]
