"""The result cache: is there a finished job that did the same work in an environment that would do it now?

A hit is a job that succeeded, with the same work (see :mod:`zoo_server.jobs.cache_keys`), in an environment whose
digest is that of a worker which would run it now: it offers the operation, serves the job's queue, has as many GPUs as
the job gets, and was seen within the last hour.  An hour,
because a Zoo that is being restarted should keep its cache; not longer, because the results of machines that are gone
are not what a new run would give.

Only operations that are declared deterministic are looked up.  What the caller may not see, or what was withdrawn, is
not found, and nobody is told that it is there.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from zoo_sdk.vocabulary import JobState
from zoo_server.catalog.models import Version
from zoo_server.catalog.selectors import visible_versions
from zoo_server.catalog.selectors.usable import usable
from zoo_server.jobs.cache_keys import Work, cache_key, work_digests
from zoo_server.jobs.models import Job, JobInput, Worker
from zoo_server.rest.principals import Principal

SEEN_WITHIN = timedelta(hours=1)
"""Workers that were silent for longer say nothing about how a job would be run now."""
CANDIDATES_PER_WORK = 200


@dataclass(frozen=True)
class CachedResult:
    """A job that did the work already.

    ``version``: what it made (None: the operation only measures).  ``measured``: the version that its measurements are
    about, if that is one of its inputs.  ``seconds``: how long its last attempt took.
    """

    job_id: UUID
    version: Version | None
    measured: Version | None
    seconds: float | None


def cached_results(*, principal: Principal, works: Sequence[Work]) -> list[CachedResult | None]:
    """For each work its cached result, or None; a fixed number of queries for all of them."""
    return look_up(principal=principal, works=works, digests=work_digests(works))


def look_up(*, principal: Principal, works: Sequence[Work], digests: Sequence[str]) -> list[CachedResult | None]:
    """The same for works whose digests are known already.

    Among several results one in the work's target is preferred, then the newest.
    """
    environments = _environments(works)
    keys = [
        {cache_key(work_digest=digest, environment_digest=item) for item in environments[work.operation.pk, work.gpus]}
        for work, digest in zip(works, digests, strict=True)
    ]
    by_key = _candidates(principal, set().union(*keys), len(works))
    return [
        _best(work, [result for key in own for result in by_key.get(key, ())])
        for work, own in zip(works, keys, strict=True)
    ]


def _environments(works: Sequence[Work]) -> dict[tuple[UUID, int], set[str]]:
    """By operation and number of GPUs, the environments in which workers would run it now."""
    wanted: dict[UUID, set[int]] = defaultdict(set)
    for work in works:
        if work.is_repeatable:
            wanted[work.operation.pk].add(work.gpus)
    offers = Worker.operations.through.objects.filter(
        operation_id__in=wanted, worker__last_seen_at__gt=Now() - SEEN_WITHIN
    )
    found: dict[tuple[UUID, int], set[str]] = defaultdict(set)
    for offer in offers.select_related("worker", "operation").defer("worker__environment", "operation__manifest"):
        name, worker = offer.operation.name, offer.worker
        for gpus in wanted[offer.operation_id]:
            if worker.can_run(name, gpus) and (digest := worker.environment_digest(name, gpus)):
                found[offer.operation_id, gpus].add(digest)
    return found


def _candidates(principal: Principal, keys: set[str], works: int) -> Mapping[str, list[CachedResult]]:
    """By key, the usable results, newest first."""
    rows = Job.objects.filter(cache_key__in=keys, state=JobState.SUCCEEDED).select_related("operation").order_by("-pk")
    jobs = list(rows.exclude(cache_key="")[: CANDIDATES_PER_WORK * works]) if keys else []
    if not jobs:
        return {}
    visible = usable(visible_versions(principal=principal))
    made = {version.job_id: version for version in visible.filter(job_id__in=[job.pk for job in jobs])}
    measured = _measured(jobs, visible)
    found: dict[str, list[CachedResult]] = defaultdict(list)
    for job in jobs:
        result = CachedResult(job.pk, made.get(job.pk), measured.get(job.pk), _seconds(job))
        if result.version is not None or not job.operation.manifest["outputs"]:
            found[job.cache_key].append(result)
    return found


def _measured(jobs: Iterable[Job], usable: QuerySet[Version]) -> dict[UUID, Version]:
    """By job, the input that its measurements are about, if the caller may see it."""
    ports = {
        (job.pk, port["name"]) for job in jobs for port in job.operation.manifest["inputs"] if port.get("measured")
    }
    rows = JobInput.objects.filter(
        job_id__in={job_id for job_id, _ in ports},
        port__in={name for _, name in ports},
        position=0,
        version__in=usable,
    ).select_related("version__repository__team")
    return {row.job_id: row.version for row in rows if (row.job_id, row.port) in ports}


def _seconds(job: Job) -> float | None:
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def _best(work: Work, found: Sequence[CachedResult]) -> CachedResult | None:
    measures = any(item.port.measured for item in work.inputs)
    usable = [item for item in found if item.measured is not None or not measures]
    newest = sorted(usable, key=lambda item: item.job_id, reverse=True)
    at_home = (item for item in newest if item.version is not None and str(item.version.repository) == work.target)
    return next(at_home, None) or next(iter(newest), None)
