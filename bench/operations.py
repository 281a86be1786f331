"""Runs operations as bare functions: the same code as a job's, on local files, without any service."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_client.datasets import describe_dataset
from zoo_client.describing import collect_files
from zoo_demo.data import SampleData
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.execution import LocalContext, Workplace, run_operation


@dataclass(frozen=True)
class Outcome:
    """What a run measured, made (None: nothing) and took; ``artifacts``: all forms of what it made."""

    measured: Mapping[str, float]
    made: InputItem | None
    seconds: float
    artifacts: Sequence[ArtifactDescription] = ()


def dataset_item(data: SampleData) -> InputItem:
    """The sample data as the input of an operation."""
    files = collect_files(list(data.files))
    description = describe_dataset(files, format_name=data.format, classes=list(data.classes))
    return InputItem(reference=f"zoo/{data.name}@1", folder=data.files[0].absolute().parent, dataset=description)


def perform(
    operation: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, InputItem | tuple[InputItem, ...]],
    *,
    folder: Path,
    seed: int,
    threads: int,
    devices: tuple[str, ...] = ("cpu",),
) -> Outcome:
    """Run an operation in this process; ``folder`` gets its files and must not have been used before.

    ``inputs``: one item or several (teachers) by port.
    """
    spec = find_operation(operation)
    folder.mkdir(parents=True)
    place = Workplace.under(folder)
    # Jobs side by side share it, as those of one worker do.
    place.shared_cache = folder.parent / "shared_cache"
    place.shared_cache.mkdir(exist_ok=True)
    context = LocalContext(spec, place, seed=seed, threads=threads, devices=devices)
    started = time.perf_counter()
    ports = {port: item if isinstance(item, tuple) else (item,) for port, item in inputs.items()}
    run_operation(spec, params, Inputs(ports=ports), context)
    seconds = time.perf_counter() - started
    made, artifacts = None, context.artifacts.get("model", [])
    if artifacts:
        made = InputItem(reference=f"zoo/{folder.name}@1", folder=context.output(), artifact=artifacts[0])
    return Outcome({item.name: item.value for item in context.measurements}, made, seconds, artifacts)


def size_of(item: InputItem, suffix: str = "") -> int:
    """Bytes of an artifact's files (of those that end so)."""
    files = item.artifact.files if item.artifact else ()
    return sum((item.folder / path).stat().st_size for path in files if path.endswith(suffix))
