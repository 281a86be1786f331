"""What a machine tells the registry's planner about conversions: what it lacks for them, and which it could do."""

from collections.abc import Collection, Iterable
from typing import Any

from zoo_sdk.conversions import Unserved, missing_packages
from zoo_sdk.operations import OperationManifest


def conversion_facts(manifests: Iterable[OperationManifest], queues: Collection[str]) -> dict[str, Any]:
    """For the environment of a registration.

    ``manifests``: of every operation that is installed here.  ``missing_packages`` are those that conversions require
    and that are not installed; ``unserved_conversions`` belong to queues that this worker does not serve.
    """
    converters = [manifest for manifest in manifests if manifest.edges]
    unserved = [
        Unserved(operation=item.name, queue=item.queue, gpus=item.resources.gpus, edges=item.edges)
        for item in converters
        if item.queue not in queues
    ]
    return {
        "missing_packages": missing_packages(edge for manifest in converters for edge in manifest.edges),
        "unserved_conversions": [item.model_dump(mode="json") for item in unserved],
    }
