"""``onnxruntime.benchmark``: latency, throughput, load time and memory of an ONNX model on this worker."""

from zoo_onnxruntime.runtime import DEVICE, RUNTIME, Classifier, open_classifier
from zoo_onnxruntime.specs import BenchmarkParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.benchmark import Bench, Point, Prepared, run_benchmark
from zoo_vision.preprocessing import random_inputs


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    item = inputs.one("model")
    sessions = _Sessions(item, context.seed)
    bench = Bench(runtime=RUNTIME, device=DEVICE, load=sessions.prepare, prepare=sessions.prepare)
    run_benchmark(context, item, params, bench, params.every_batch)


class _Sessions:
    """A session has a fixed number of threads; one is kept for all batches of the points that follow each other."""

    def __init__(self, item: InputItem, seed: int) -> None:
        self._item = item
        self._seed = seed
        self._open: tuple[int, Classifier] | None = None

    def prepare(self, point: Point) -> Prepared:
        if self._open is None or self._open[0] != point.threads:
            self._open = (point.threads, open_classifier(self._item, point.threads))
        classifier = self._open[1]
        if classifier.fixed_batch not in {None, point.batch}:
            raise InvalidInput(
                f"batch = {point.batch}, but {self._item.reference} takes exactly {classifier.fixed_batch} samples.",
                hint=f"Use batch = {classifier.fixed_batch}, or export the model with a dynamic batch.",
                facts={"field": "batch"},
            )
        samples = random_inputs(classifier.preprocessing, point.batch, self._seed)
        return Prepared(lambda: classifier(samples), classifier.details)
