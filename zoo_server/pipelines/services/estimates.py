"""What a step will cost in time, from the history of its operation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

from zoo_sdk.vocabulary import JobState, RepositoryKind
from zoo_server.jobs.models import Job, JobInput
from zoo_server.jobs.selectors import visible_jobs
from zoo_server.rest.principals import Principal

RECENT_JOBS = 100
"""Of each operation: older ones ran on other machines and versions."""
PASSES = "epochs"
"""The parameter that an operation's time grows with, in every plugin that has it."""


@dataclass(frozen=True)
class Estimate:
    """How long a step will take, and why we think so; None: nobody knows."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Likeness:
    """What of a job decides how long it takes.  ``datasets``: the versions of data sets that go in."""

    params: Mapping[str, Any]
    datasets: frozenset[UUID]
    gpus: int = 0

    def distance(self, other: "Likeness") -> tuple[bool, bool, int]:
        """How far two jobs are from each other: another number of GPUs, other data, so many other parameters."""
        return (self.gpus != other.gpus, self.datasets != other.datasets, _different(self.params, other.params))


@dataclass(frozen=True)
class _Run:
    """A job that ran to its end."""

    job: Likeness
    seconds: float


UNKNOWN = Estimate(None, "no finished job of this operation")


class History:
    """The recent finished jobs of some operations, as far as the caller may see them: two queries."""

    def __init__(self, *, principal: Principal, operations: Iterable[str]) -> None:
        self._runs: dict[str, list[_Run]] = defaultdict(list)
        rows: list[Job] = []
        for name in sorted(set(operations)):
            finished = visible_jobs(principal=principal).filter(
                operation__name=name, state=JobState.SUCCEEDED, cached_from=None, started_at__isnull=False
            )
            rows += finished.order_by("-pk")[:RECENT_JOBS]
        datasets: dict[UUID, set[UUID]] = defaultdict(set)
        taken = JobInput.objects.filter(job__in=rows, version__repository__kind=RepositoryKind.DATASET)
        for job_id, version_id in taken.values_list("job_id", "version_id"):
            datasets[job_id].add(version_id)
        for job in rows:
            if job.started_at is not None and job.finished_at is not None:
                seconds = (job.finished_at - job.started_at).total_seconds()
                likeness = Likeness(job.params, frozenset(datasets[job.pk]), job.gpus)
                self._runs[job.operation.name].append(_Run(likeness, seconds))

    def estimate(self, operation: str, job: Likeness) -> Estimate:
        """The median of the nearest jobs: as many GPUs before others, the same data before other data, then the fewest
        different parameters.

        Time is taken to grow with the number of epochs.
        """
        runs = self._runs[operation]
        if not runs:
            return UNKNOWN
        distances = [run.job.distance(job) for run in runs]
        nearest = min(distances)
        near = [run for run, distance in zip(runs, distances, strict=True) if distance == nearest]
        seconds = median(run.seconds * _passes(job.params) / _passes(run.job.params) for run in near)
        return Estimate(round(seconds, 1), _basis(near, job.params, nearest))


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    names = (set(one) | set(other)) - {PASSES}
    return sum(one.get(name) != other.get(name) for name in names)


def _passes(params: Mapping[str, Any]) -> float:
    passes = params.get(PASSES)
    return float(passes) if isinstance(passes, int | float) and passes > 0 else 1.0


def _basis(near: Sequence[_Run], params: Mapping[str, Any], distance: tuple[bool, bool, int]) -> str:
    text = "1 job" if len(near) == 1 else f"{len(near)} jobs"
    other_gpus, other_data, different = distance
    text += " with another number of GPUs" if other_gpus else ""
    text += " on other data" if other_data else ""
    text += f" with {different} other parameter{'s' if different > 1 else ''}" if different else ""
    scaled = any(_passes(run.job.params) != _passes(params) for run in near)
    return text + (", scaled by epochs" if scaled else "")
