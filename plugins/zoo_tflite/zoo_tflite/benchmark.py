"""``tflite.benchmark``: latency and throughput of a TFLite model on this worker."""

from zoo_sdk.context import Inputs, OperationContext
from zoo_tflite.runtime import DEVICE, RUNTIME, open_classifier
from zoo_tflite.specs import BenchmarkParams
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import measure_latency, report_latency, threads_to_use


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    classifier = open_classifier(inputs.one("model"), threads_to_use(params.threads, context))
    samples = random_inputs(classifier.preprocessing, classifier.batch, context.seed)

    def between_runs(spent: float, total: float) -> None:
        context.raise_if_cancelled()
        context.progress(spent, total, "seconds measured")

    result = measure_latency(
        lambda: classifier(samples),
        batch=classifier.batch,
        seconds=params.seconds,
        warmup=params.warmup,
        between_runs=between_runs,
    )
    report_latency(
        context, result, runtime=RUNTIME, device=DEVICE, details={**classifier.details, "warmup": params.warmup}
    )
    context.log(f"p50 {result.p50_ms:.3f} ms, p95 {result.p95_ms:.3f} ms, {result.throughput:.1f} samples/s")
