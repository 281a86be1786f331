"""How many GPUs a job gets: as many as its operation needs, or as many as it asks for and the operation can use."""

from zoo_sdk.operations import OperationManifest
from zoo_server.jobs.services.faults import Fault


def gpus_of(manifest: OperationManifest, asked: int | None) -> int:
    """The number for a job that asks for so many; None: it does not say."""
    return manifest.resources.gpus if asked is None else asked


def gpus_fault(manifest: OperationManifest, asked: int | None) -> Fault | None:
    """What is wrong with asking for so many of this operation.

    Whether a worker has them is no matter here: it may come later (see :mod:`zoo_server.jobs.supply`).
    """
    gpus, least, most = gpus_of(manifest, asked), manifest.resources.gpus, manifest.resources.max_gpus
    if least <= gpus <= most:
        return None
    if most == 0:
        return Fault("gpus", f"{manifest.name} cannot use GPUs", gpus, "0")
    if least == most:
        return Fault("gpus", f"{manifest.name} needs {least}", gpus, str(least))
    words = f"needs at least {least}" if gpus < least else f"can use {most} at most"
    return Fault("gpus", f"{manifest.name} {words}", gpus, f"{least} to {most}")
