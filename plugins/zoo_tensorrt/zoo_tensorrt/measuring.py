"""``tensorrt.evaluate`` and ``tensorrt.benchmark``: a plan's accuracy, size and speed on its GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_tensorrt import machine, running
from zoo_tensorrt.building import RUNTIME
from zoo_tensorrt.specs import BenchmarkParams, EvaluateParams
from zoo_vision import evaluation as shared
from zoo_vision.agreement import check_classes_fit, check_pictures_fit, preprocessing_of
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import Subject, padded
from zoo_vision.hardware import describe_hardware, fingerprint_of
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import measure_latency, report_latency

_MUST_AGREE = ("tensorrt", "gpu", "compute_capability")


@dataclass(frozen=True)
class Plan:
    """An open plan: calling it maps (B, ...) inputs to (B, C) outputs."""

    runner: running.PlanRunner
    preprocessing: Preprocessing
    details: dict[str, Any]

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.runner(inputs)[0]


@contextmanager
def opened(item: InputItem, context: OperationContext, batch: int) -> Iterator[Plan]:
    """A plan on the attempt's GPU.

    Raises:
        InvalidInput: no plan, one without the manifest that ``tensorrt.build`` writes, one of another kind of GPU or
            TensorRT, no preprocessing, or a batch that it was not built for.

    """
    preprocessing = preprocessing_of(item)
    manifest = item.artifact.details.get("manifest") if item.artifact else None
    if item.artifact is None or item.artifact.format != "tensorrt-plan" or not isinstance(manifest, dict):
        raise InvalidInput(
            f"{item.reference} is no plan with a manifest.",
            hint="A plan can run any code: only those that tensorrt.build made are opened.",
        )
    own = machine.describe_machine(context.devices[0])
    others = [key for key in _MUST_AGREE if manifest.get(key) != own.facts[key]]
    if others:
        told = ", ".join(f"{key} {manifest.get(key)!r} instead of {own.facts[key]!r}" for key in others)
        raise InvalidInput(
            f"{item.reference} was built for another machine: {told}.",
            hint="Build the plan again here from its source; its manifest names it.",
        )
    for name, profile in dict(manifest.get("profiles", {})).items():
        low, high = profile["smallest"][0], profile["largest"][0]
        if not low <= batch <= high:
            raise InvalidInput(
                f"batch = {batch}, but {item.reference} takes {low} to {high} samples ({name}).",
                facts={"field": "batch"},
            )
    with running.PlanRunner(item.main_file.read_bytes(), context.devices[0]) as runner:
        yield Plan(runner, preprocessing, {"machine": own.facts, "precision": manifest.get("precision")})


def evaluate(params: EvaluateParams, inputs: Inputs, context: OperationContext) -> None:
    """Evaluate; what does not fit together is refused before the first batch."""
    item, data = inputs.one("model"), inputs.one("data")
    with opened(item, context, params.batch) as plan:
        split = open_split(data, params.split)
        check_classes_fit(item.reference, split, plan.preprocessing, _classes(item))
        check_pictures_fit(split, plan.preprocessing)
        subject = Subject(
            reference=item.reference,
            infer=padded(plan, params.batch),
            preprocessing=plan.preprocessing,
            batch=params.batch,
            runtime=RUNTIME,
            device=context.devices[0],
            details={**plan.details, "batch": params.batch},
        )
        shared.evaluate(context, subject, data, split, limit=params.limit)
    manifest = item.artifact.details["manifest"] if item.artifact else {}
    shared.report_complexity(
        context,
        item,
        parameters=manifest.get("parameters"),
        macs=manifest.get("macs"),
        runtime=RUNTIME,
        details={"counted": "plan and manifest; parameters and MACs of the ONNX file that it was built from"},
    )


def _classes(item: InputItem) -> int | None:
    signature = item.artifact.signature if item.artifact else None
    shape = signature.outputs[0].shape if signature else ()
    return shape[1] if len(shape) == 2 else None


def benchmark(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand and copied to the GPU in each run."""

    def between_runs(spent: float, total: float) -> None:
        context.raise_if_cancelled()
        context.progress(spent, total, "seconds measured")

    with opened(inputs.one("model"), context, params.batch) as plan:
        samples = random_inputs(plan.preprocessing, params.batch, context.seed)
        result = measure_latency(
            lambda: plan(samples),
            batch=params.batch,
            seconds=params.seconds,
            warmup=params.warmup,
            between_runs=between_runs,
        )
    hardware = describe_hardware(str(plan.details["machine"]["gpu"]))
    details = {
        **plan.details,
        "threads": 1,
        "warmup": params.warmup,
        "copies": "input and outputs included",
        "hardware": hardware,
        "fingerprint": fingerprint_of(hardware),
    }
    report_latency(context, result, runtime=RUNTIME, device=context.devices[0], details=details)
    context.log(f"p50 {result.p50_ms:.3f} ms, p95 {result.p95_ms:.3f} ms, {result.throughput:.1f} samples/s")
