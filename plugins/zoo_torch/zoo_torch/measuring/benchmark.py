"""``torch.benchmark``: latency and throughput of PyTorch weights on this worker, in eager mode."""

import torch

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.measuring.params import BenchmarkParams
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.data import model_preprocessing
from zoo_torch.training.results import runtime_facts
from zoo_vision.preprocessing import random_inputs
from zoo_vision.timing import measure_latency, report_latency, threads_to_use


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure latency_ms, latency_ms_p95 and throughput; the inputs are random pixels, preprocessed beforehand."""
    device = prepare_device(context)
    threads = threads_to_use(params.threads, context)
    torch.set_num_threads(threads)
    item = inputs.one("model")
    preprocessing = model_preprocessing(item)
    if preprocessing is None:
        raise InvalidInput(
            f"{item.reference} does not say what its input looks like.",
            hint="Describe the artifact with its preprocessing (size, channels) when you push it.",
        )
    network = load_weights(item, architecture=params.architecture).build().to(device).eval()
    samples = torch.from_numpy(random_inputs(preprocessing, params.batch, context.seed)).to(device)

    def infer() -> None:
        network(samples)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def between_runs(spent: float, total: float) -> None:
        context.raise_if_cancelled()
        context.progress(spent, total, "seconds measured")

    with torch.inference_mode(), out_of_memory_is_said(params.batch):
        result = measure_latency(
            infer, batch=params.batch, seconds=params.seconds, warmup=params.warmup, between_runs=between_runs
        )
    details = {**runtime_facts(device, context), "threads": threads, "warmup": params.warmup}
    report_latency(context, result, runtime=Runtime.TORCH, device=device_name(device), details=details)
    context.log(f"p50 {result.p50_ms:.3f} ms, p95 {result.p95_ms:.3f} ms, {result.throughput:.1f} samples/s")
