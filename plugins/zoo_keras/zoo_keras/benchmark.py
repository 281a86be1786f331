"""``keras.benchmark``: latency and throughput of a Keras model in Keras on this worker."""

from zoo_keras.runtime import DEVICE, RUNTIME
from zoo_keras.scoring import open_classifier
from zoo_keras.specs import BenchmarkParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import measure_latency, report_latency, threads_to_use


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    threads = threads_to_use(params.threads, context)
    classifier = open_classifier(inputs.one("model"), context, threads=threads, architecture=params.architecture)
    samples = random_inputs(classifier.preprocessing, params.batch, context.seed)

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
    report_latency(
        context, result, runtime=RUNTIME, device=DEVICE, details={**classifier.details, "warmup": params.warmup}
    )
    context.log(f"p50 {result.p50_ms:.3f} ms, p95 {result.p95_ms:.3f} ms, {result.throughput:.1f} samples/s")
