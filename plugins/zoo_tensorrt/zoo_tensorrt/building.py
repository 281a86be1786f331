"""``tensorrt.build``: an ONNX file as a plan for this machine's GPU, compared with the file in ONNX Runtime."""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import onnx

from zoo_sdk.artifacts import ArtifactDescription, Signature
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_sdk.formats import Runtime
from zoo_sdk.shared_cache import SharedCache, digest_of_file
from zoo_sdk.vocabulary import Precision
from zoo_tensorrt import machine, running
from zoo_tensorrt.plans import Built, build_plan
from zoo_tensorrt.sources import costs_of, in_onnx_runtime, input_shape, precision_of, read_source
from zoo_tensorrt.specs import BuildParams
from zoo_vision.agreement import check_classes_fit, check_input_fits, check_pictures_fit
from zoo_vision.datasets import open_split
from zoo_vision.evaluation import padded
from zoo_vision.parity import ParityFigures, check_parity, report_parity, tolerance_for
from zoo_vision.parity_inputs import (
    BATCH,
    ParityInputs,
    flat,
    outputs_over,
    parity_inputs_of,
    random_parity_inputs,
    uniform_parity_inputs,
)

PLAN, MANIFEST = "model.plan", "manifest.json"
RUNTIME = str(Runtime.TENSORRT)
_NO_TIMINGS = b"none"


@dataclass(frozen=True)
class _Case:
    """What is built, for which machine, and the inputs on which it is compared."""

    item: InputItem
    precision: Precision
    own: machine.Machine
    chosen: ParityInputs
    fixed_batch: int | None


def run(params: BuildParams, inputs: Inputs, context: OperationContext) -> None:
    """Build, save with a manifest, and keep the plan only if it computes what its source computes."""
    item = inputs.one("model")
    context.raise_if_cancelled()
    context.progress(0, 3, "reading the graph")
    model = read_source(item)
    own = machine.describe_machine(context.devices[0])
    shape = input_shape(model)
    case = _Case(item, precision_of(model), own, _parity_inputs(params, inputs, model, shape, context.seed), shape[0])
    built = _build(params, case, context)
    (context.output() / PLAN).write_bytes(built.plan)
    manifest = _manifest(params, case, built)
    (context.output() / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    context.progress(1, 3, "comparing with the source")
    figures = _compare(params, case, built, context)
    _declare(case, figures, manifest, context)
    context.progress(3, 3, "done")


def _parity_inputs(
    params: BuildParams, inputs: Inputs, model: onnx.ModelProto, shape: list[int | None], seed: int
) -> ParityInputs:
    item, data = inputs.one("model"), inputs.optional("data")
    preprocessing = item.artifact.preprocessing if item.artifact else None
    if preprocessing is None:
        sizes = tuple(size for size in shape[1:] if size)
        if data is not None or len(sizes) != len(shape) - 1:
            raise InvalidInput(
                f"{item.reference} does not say how a picture becomes its input.",
                hint="Push the version again with `preprocessing`.",
                facts={"field": "preprocessing"},
            )
        return uniform_parity_inputs(sizes, params.parity_samples, seed)
    check_input_fits(item.reference, preprocessing, shape)
    if data is None:
        return random_parity_inputs(preprocessing, params.parity_samples, seed)
    split = open_split(data, params.parity_split)
    ends = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    check_classes_fit(item.reference, split, preprocessing, ends[1] or None if len(ends) == 2 else None)
    check_pictures_fit(split, preprocessing)
    return parity_inputs_of(split, preprocessing, params.parity_samples, seed)


def _build(params: BuildParams, case: _Case, context: OperationContext) -> Built:
    """Build with the timings of former builds on the same kind of machine, and keep those of this one."""
    key = f"tensorrt-{sha256(json.dumps(case.own.facts, sort_keys=True).encode()).hexdigest()}"
    cache = SharedCache(context.shared_cache)
    kept = cache.get(key) if params.timing_cache else None
    timings = b"" if kept is None or bytes(kept) == _NO_TIMINGS else bytes(kept)
    sizes = case.chosen.sample(0).shape[1:]
    built = build_plan(machine.tensorrt(), case.item.main_file, params, sizes=sizes, timings=timings)
    if params.timing_cache:
        cache.put(key, [built.timings or _NO_TIMINGS])
    context.log(f"{len(built.plan):,} bytes, with {len(timings):,} bytes of former timings")
    return built


def _manifest(params: BuildParams, case: _Case, built: Built) -> dict[str, Any]:
    """Where the plan runs, and how to build it again: the recipe beside the plan."""
    return {
        **case.own.facts,
        "precision": case.precision.value,
        "flags": ["STRONGLY_TYPED", *(["TF32"] if params.tf32 else [])],
        "profiles": {
            name: {key: list(shape) for key, shape in asdict(profile).items()}
            for name, profile in built.profiles.items()
        },
        "workspace_gib": params.workspace_gib,
        "optimization_level": params.optimization_level,
        **costs_of(case.item.main_file, case.fixed_batch),
        "source": case.item.reference,
        "source_digest": digest_of_file(case.item.main_file),
    }


def _compare(params: BuildParams, case: _Case, built: Built, context: OperationContext) -> ParityFigures:
    infer = in_onnx_runtime(case.item.main_file, context.threads)
    largest = case.fixed_batch or params.max_batch
    whole = case.fixed_batch or params.min_batch
    beat = context.raise_if_cancelled
    reference = outputs_over(
        padded(infer, case.fixed_batch) if case.fixed_batch else infer,
        case.chosen.batches(), largest=case.fixed_batch or BATCH, before_batch=beat,
    )  # fmt: skip
    context.progress(2, 3, "comparing with the source")
    with running.PlanRunner(built.plan, context.devices[0]) as runner:
        # The last batch may hold fewer samples than the plan takes.
        candidate = outputs_over(
            lambda batch: padded(lambda full: flat(runner(full)), max(whole, len(batch)))(batch),
            case.chosen.batches(), largest=largest, before_batch=beat,
        )  # fmt: skip
    allowed = params.max_abs_diff
    if allowed is None and case.precision is not Precision.INT8:
        allowed = tolerance_for(case.precision, reference)
    return check_parity(reference, candidate, max_abs=allowed, min_agreement=params.min_agreement)


def _declare(case: _Case, figures: ParityFigures, manifest: dict[str, Any], context: OperationContext) -> None:
    artifact = case.item.artifact
    source_signature: Signature | None = artifact.signature if artifact else None
    facts = {
        "machine": case.own.facts, "inputs": case.chosen.origin, "reference_runtime": "onnxruntime on the CPU",
    }  # fmt: skip
    context.artifact(
        ArtifactDescription(
            format="tensorrt-plan",
            files=(PLAN, MANIFEST),
            precision=case.precision,
            runtime=RUNTIME,
            signature=source_signature,
            preprocessing=artifact.preprocessing if artifact else None,
            details={
                **(artifact.details if artifact else {}),
                "manifest": manifest,
                "parity": {**asdict(figures), **facts},
            },
        )
    )
    report_parity(
        context,
        figures,
        runtime=RUNTIME,
        dataset=case.chosen.dataset_port,
        split=case.chosen.split,
        details=facts,
    )
