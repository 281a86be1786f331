"""The edges that workers offer now, each with the reasons why it cannot be taken, if there are any."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zoo_sdk.conversions import ConversionEdge, Requirement, Unserved
from zoo_sdk.operations import OperationManifest
from zoo_server.jobs.models import Operation, Worker
from zoo_server.pipelines.conversions.graph import OfferedEdge
from zoo_server.pipelines.conversions.obstacles import in_words, omissions, requirements

Options = Mapping[str, Mapping[str, Any]]
"""By operation, the parameters that the caller gives."""
SHOWN_WORKERS = 3
_UNSERVED = TypeAdapter(tuple[Unserved, ...])


def offered_edges(operations: Sequence[Operation], *, options: Options, has_data: bool) -> list[OfferedEdge]:
    """Every edge of ``operations`` (from ``operations_with_workers``) for a caller with these options.

    ``has_data``: the caller names a data set, which some operations need.
    """
    found = []
    for operation in operations:
        manifest = OperationManifest.model_validate(operation.manifest)
        workers = list(operation.workers.all())
        given = options.get(operation.name, {})
        for number, edge in enumerate(manifest.edges):
            reasons = (*_absence(manifest, edge, workers), *omissions(manifest, edge, given, has_data=has_data))
            questions = frozenset(edge.asks) - set(given)
            found.append(OfferedEdge(operation.name, number, edge, {**given, **edge.params}, reasons, questions))
    return found


def unserved_edges(workers: Iterable[Worker], *, known: Collection[str]) -> list[OfferedEdge]:
    """The edges of operations that no worker offers, of which a living one has the plugin; none can be taken.

    ``known``: the operations that workers offer.
    """
    found: dict[tuple[str, int], tuple[ConversionEdge, list[str]]] = {}
    for worker in workers:
        for item in _unserved_of(worker) if getattr(worker, "alive", False) else ():
            lacks_gpu = item.gpus and not worker.environment.get("gpus")
            why = f"worker {worker.name} does not serve the queue {item.queue}{' and has no GPU' if lacks_gpu else ''}"
            for number, edge in enumerate(item.edges) if item.operation not in known else ():
                found.setdefault((item.operation, number), (edge, []))[1].append(why)
    return [
        OfferedEdge(operation, number, edge, edge.params, tuple(reasons[:SHOWN_WORKERS]))
        for (operation, number), (edge, reasons) in found.items()
    ]


def _unserved_of(worker: Worker) -> tuple[Unserved, ...]:
    try:
        return _UNSERVED.validate_python(worker.environment.get("unserved_conversions", ()))
    except ValidationError:
        # A worker of another release; what it cannot do is worth no error.
        return ()


def _absence(manifest: OperationManifest, edge: ConversionEdge, workers: Sequence[Worker]) -> Iterator[str]:
    """Why no machine could do it."""
    alive = [worker for worker in workers if getattr(worker, "alive", False)]
    serving = [worker for worker in alive if manifest.queue in worker.queues]
    if not alive:
        yield f"no worker that offers {manifest.name} is alive"
    elif not serving:
        yield f"no living worker serves the queue {manifest.queue}"
    else:
        lacks = [[item for item in requirements(manifest, edge) if not _has(worker, item)] for worker in serving]
        if all(lacks):
            for worker, missing in list(zip(serving, lacks, strict=True))[:SHOWN_WORKERS]:
                yield f"worker {worker.name} has no {' and no '.join(in_words(item) for item in missing)}"


def _has(worker: Worker, requirement: Requirement) -> bool:
    if requirement.kind == "gpu":
        return bool(worker.environment.get("gpus"))
    return requirement.name not in worker.environment.get("missing_packages", ())
