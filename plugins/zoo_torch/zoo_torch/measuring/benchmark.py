"""``torch.benchmark``: latency, throughput, load time and memory of PyTorch weights or TorchScript, in eager mode."""

import torch

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.formats import Runtime
from zoo_torch.devices import device_name, out_of_memory_is_said, prepare_device
from zoo_torch.measuring.params import BenchmarkParams
from zoo_torch.measuring.runnable import Runnable, open_runnable
from zoo_torch.training.results import runtime_facts
from zoo_vision.benchmark import Bench, Point, Prepared, run_benchmark
from zoo_vision.preprocessing import random_inputs


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    device = prepare_device(context)
    item = inputs.one("model")
    timed = _Timed(item, params.architecture, device, context)
    bench = Bench(
        runtime=Runtime.TORCH,
        device=device_name(device),
        load=timed.load,
        prepare=timed.prepare,
        peak_device_bytes=torch.cuda.max_memory_allocated if device.type == "cuda" else None,
    )
    with torch.inference_mode(), out_of_memory_is_said(max(params.every_batch)):
        run_benchmark(context, item, params, bench, params.every_batch)


class _Timed:
    """A network that is loaded once; the number of threads is one of the process."""

    def __init__(
        self, item: InputItem, architecture: str | None, device: torch.device, context: OperationContext
    ) -> None:
        self._item = item
        self._architecture = architecture
        self._device = device
        self._context = context
        self._runnable: Runnable | None = None

    def load(self, point: Point) -> Prepared:
        torch.set_num_threads(point.threads)
        self._runnable = open_runnable(self._item, self._device, self._architecture)
        return self.prepare(point)

    def prepare(self, point: Point) -> Prepared:
        torch.set_num_threads(point.threads)
        runnable = self._runnable or open_runnable(self._item, self._device, self._architecture)
        pixels = random_inputs(runnable.preprocessing, point.batch, self._context.seed)
        # In the memory format of the file: what a user gets without knowing of others.
        samples = torch.from_numpy(pixels).to(self._device)

        def infer() -> None:
            runnable.on_device(samples)
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

        facts = runtime_facts(self._device, self._context)
        return Prepared(infer, {**facts, "threads": point.threads})
