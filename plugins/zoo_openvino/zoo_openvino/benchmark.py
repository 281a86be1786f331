"""``openvino.benchmark``: latency, throughput, load time and memory of a model in OpenVINO on this worker."""

import openvino as ov

from zoo_openvino.runtime import DEVICE, RUNTIME, compile_classifier, read_model
from zoo_openvino.specs import BenchmarkParams
from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_vision.agreement import preprocessing_of
from zoo_vision.benchmark import Bench, Point, Prepared, run_benchmark
from zoo_vision.preprocessing import random_inputs


def run(params: BenchmarkParams, inputs: Inputs, context: OperationContext) -> None:
    """Measure; the inputs are random pixels, preprocessed beforehand."""
    item = inputs.one("model")
    compiler = _Compiler(item, params, context.seed)
    bench = Bench(runtime=RUNTIME, device=DEVICE, load=compiler.load, prepare=compiler.prepare)
    run_benchmark(context, item, params, bench, params.every_batch)


class _Compiler:
    """A model is read once and compiled for each point: batch and threads are fixed then."""

    def __init__(self, item: InputItem, params: BenchmarkParams, seed: int) -> None:
        self._item = item
        self._params = params
        self._seed = seed
        self._preprocessing = preprocessing_of(item)
        self._model: ov.Model | None = None

    def load(self, point: Point) -> Prepared:
        self._model = read_model(self._item)
        return self.prepare(point)

    def prepare(self, point: Point) -> Prepared:
        classifier = compile_classifier(
            self._model or read_model(self._item),
            self._preprocessing,
            reference=self._item.reference,
            precision_hint=self._params.precision_hint,
            threads=point.threads,
            batch=point.batch,
        )
        if classifier.batch != point.batch:
            raise InvalidInput(
                f"batch = {point.batch}, but {self._item.reference} takes exactly {classifier.batch} samples.",
                hint=f"Use batch = {classifier.batch}, or export the model with a dynamic batch.",
                facts={"field": "batch"},
            )
        samples = random_inputs(self._preprocessing, point.batch, self._seed)
        return Prepared(lambda: classifier(samples), classifier.details)
