"""``openvino.benchmark``: latency and throughput of a model in OpenVINO on this worker."""

from zoo_openvino.runtime import DEVICE, RUNTIME, compile_classifier, read_model
from zoo_openvino.specs import BenchmarkParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.agreement import preprocessing_of
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import measure_latency, report_latency, threads_to_use


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    item = inputs.one("model")
    preprocessing = preprocessing_of(item)
    classifier = compile_classifier(
        read_model(item),
        preprocessing,
        reference=item.reference,
        precision_hint=params.precision_hint,
        threads=threads_to_use(params.threads, context),
        batch=params.batch,
    )
    if classifier.batch != params.batch:
        raise InvalidInput(
            f"batch = {params.batch}, but {item.reference} takes exactly {classifier.batch} samples.",
            hint=f"Use batch = {classifier.batch}, or export the model with a dynamic batch.",
            facts={"field": "batch"},
        )
    samples = random_inputs(preprocessing, params.batch, context.seed)

    def between_runs(spent: float, total: float) -> None:
        context.raise_if_cancelled()
        context.progress(spent, total, "seconds measured")

    result = measure_latency(
        lambda: classifier(samples),
        batch=params.batch,
        seconds=params.seconds,
        warmup=params.warmup,
        between_runs=between_runs,
    )
    details = {**classifier.details, "warmup": params.warmup}
    report_latency(context, result, runtime=RUNTIME, device=DEVICE, details=details)
    context.log(f"p50 {result.p50_ms:.3f} ms, p95 {result.p95_ms:.3f} ms, {result.throughput:.1f} samples/s")
