"""``tflite.benchmark``: latency, throughput, load time and memory of a TFLite model on this worker."""

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_tflite.runtime import DEVICE, RUNTIME, Classifier, open_classifier
from zoo_tflite.specs import BenchmarkParams
from zoo_vision.benchmark import Bench, Point, Prepared, run_benchmark
from zoo_vision.preprocessing import random_inputs


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand, in batches of the file's own size."""
    item = inputs.one("model")
    batch = open_classifier(item, context.threads).batch
    interpreters = _Interpreters(item, context.seed)
    bench = Bench(runtime=RUNTIME, device=DEVICE, load=interpreters.load, prepare=interpreters.prepare)
    run_benchmark(context, item, params, bench, [batch])


class _Interpreters:
    """An interpreter has a fixed number of threads."""

    def __init__(self, item: InputItem, seed: int) -> None:
        self._item = item
        self._seed = seed
        self._open: Classifier | None = None

    def load(self, point: Point) -> Prepared:
        self._open = None
        return self.prepare(point)

    def prepare(self, point: Point) -> Prepared:
        if self._open is None or self._open.threads != point.threads:
            self._open = open_classifier(self._item, point.threads)
        classifier = self._open
        samples = random_inputs(classifier.preprocessing, point.batch, self._seed)
        return Prepared(lambda: classifier(samples), classifier.details)
