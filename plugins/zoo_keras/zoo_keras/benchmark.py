"""``keras.benchmark``: latency, throughput, load time and memory of a Keras model in Keras on this worker."""

from zoo_keras.runtime import DEVICE, RUNTIME, use_threads
from zoo_keras.scoring import Classifier, open_classifier
from zoo_keras.specs import BenchmarkParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_vision.benchmark import Bench, Point, Prepared, run_benchmark
from zoo_vision.preprocessing import random_inputs


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    item = inputs.one("model")
    timed = _Timed(item, params, context)
    bench = Bench(runtime=RUNTIME, device=DEVICE, load=timed.load, prepare=timed.prepare)
    run_benchmark(context, item, params, bench, params.every_batch)


class _Timed:
    """A model that is loaded once; the number of threads is one of the process."""

    def __init__(self, item: InputItem, params: BenchmarkParams, context: OperationContext) -> None:
        self._item = item
        self._params = params
        self._context = context
        self._classifier: Classifier | None = None

    def load(self, point: Point) -> Prepared:
        self._classifier = self._opened(point)
        return self.prepare(point)

    def prepare(self, point: Point) -> Prepared:
        use_threads(point.threads)
        classifier = self._classifier or self._opened(point)
        samples = random_inputs(classifier.preprocessing, point.batch, self._context.seed)
        return Prepared(lambda: classifier(samples), {**classifier.details, "threads": point.threads})

    def _opened(self, point: Point) -> Classifier:
        architecture = self._params.architecture
        return open_classifier(self._item, self._context, threads=point.threads, architecture=architecture)
