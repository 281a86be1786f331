"""Is somebody there to do the work: which living workers take an operation's jobs, and how many GPUs they give."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from zoo_sdk.vocabulary import JobState
from zoo_server.jobs.models import Job, Operation, Worker
from zoo_server.jobs.selectors import living_since

Shortages = dict[tuple[UUID, int], str]
"""By operation and number of GPUs, what is missing; nothing for what can be done."""


def shortages(demands: Iterable[tuple[Operation, int]]) -> Shortages:
    """What is missing for jobs of these operations with so many GPUs, in words, in one query.

    Such words stand for "now": a worker may come at any time, so a job that nobody can run yet is taken and waits.
    """
    wanted = {(operation.pk, gpus): operation for operation, gpus in demands}
    if not wanted:
        return {}
    offers = Worker.operations.through.objects.filter(
        operation_id__in={operation_id for operation_id, _ in wanted}, worker__last_seen_at__gt=living_since()
    )
    workers: dict[UUID, list[Worker]] = defaultdict(list)
    for offer in offers.select_related("worker").only("operation_id", "worker__queues", "worker__gpus"):
        workers[offer.operation_id].append(offer.worker)
    found = {key: _missing(operation, key[1], workers[operation.pk]) for key, operation in wanted.items()}
    return {key: words for key, words in found.items() if words}


def waiting_for(jobs: Iterable[Job]) -> dict[UUID, str]:
    """By job that is queued: what has to come before any worker can take it; nothing if one could."""
    queued = [job for job in jobs if job.state == JobState.QUEUED]
    found = shortages((job.operation, job.gpus) for job in queued)
    return {job.pk: found[job.operation_id, job.gpus] for job in queued if (job.operation_id, job.gpus) in found}


def _missing(operation: Operation, gpus: int, workers: list[Worker]) -> str:
    if any(worker.can_run(operation.name, gpus) for worker in workers):
        return ""
    if not workers:
        return f"a worker that offers {operation}: none is alive"
    if not gpus:
        return f"a worker that offers {operation} without GPUs: none that is alive serves the queue"
    most = max(worker.most_gpus(operation.name) for worker in workers)
    wanted = "a GPU" if gpus == 1 else f"{gpus} GPUs"
    had = f"the largest that is alive has {most}" if most else "none that is alive has any"
    return f"a worker that offers {operation} with {wanted}: {had}"
