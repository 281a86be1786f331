"""Accuracy control: NNCF puts layers back into floating point until a metric on labelled pictures is kept."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import AdvancedAccuracyRestorerParameters
from numpy.typing import NDArray

from zoo_openvino.comparison import OpenvinoModel
from zoo_openvino.complexity import quantised_operations
from zoo_openvino.quantize_params import AccuracyControl, QuantizeParams
from zoo_openvino.runtime import RUNTIME, core
from zoo_openvino.scheme import advanced_parameters, nncf_options
from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import OperationContext
from zoo_sdk.errors import InvalidInput, OperationError, ParityFailed
from zoo_vision.datasets import ImageSplit
from zoo_vision.evaluation import padded
from zoo_vision.parity_inputs import BATCH

TOP = {"top1": 1, "top5": 5}
_INTERMEDIATE = "intermediate_model.xml"


@dataclass(frozen=True)
class Examination:
    """The labelled pictures on which the metric is measured, always the same ones."""

    control: AccuracyControl
    split: ImageSplit
    preprocessing: Preprocessing
    indices: NDArray[np.int64]
    context: OperationContext

    def hits(self, infer: Any, batch: int, positions: Iterable[int]) -> NDArray[np.float64]:
        """1 for every picture whose label is among the first choices, else 0."""
        chosen = self.indices[np.asarray(list(positions), dtype=np.int64)]
        run, found = padded(infer, batch), [np.empty(0)]
        for inputs, labels in self.split.batches(self.preprocessing, batch, indices=chosen):
            self.context.raise_if_cancelled()
            outputs = run(inputs)
            if not np.isfinite(outputs).all():
                raise OperationError("The model gave an output that is not a finite number.", hint="Check its weights.")
            own = outputs[np.arange(len(labels)), labels][:, None]
            found.append((outputs > own).sum(axis=1) < TOP[self.control.metric])
        return np.concatenate(found).astype(np.float64)

    def validate(self, compiled: ov.CompiledModel, positions: Iterable[int]) -> tuple[float, list[float]]:
        """What NNCF calls: the metric in %, and each picture's part in it."""
        request = compiled.create_infer_request()
        size = compiled.input(0).partial_shape[0]
        batch = size.get_length() if size.is_static else BATCH
        hits = self.hits(lambda inputs: np.array(request.infer(inputs)[0]), batch, positions)
        return float(hits.mean() * 100), hits.tolist()

    def measure(self, model: ov.Model, reference: str) -> float:
        """The metric of a model in %."""
        opened = OpenvinoModel.opened(model, reference, self.preprocessing, self.context.threads)
        hits = self.hits(opened, opened.classifier.batch, range(len(self.indices)))
        return float(hits.mean() * 100)


@dataclass(frozen=True)
class Controlled:
    """A model that accuracy control made: the metric before and after, and the layers put back."""

    model: ov.Model
    examination: Examination
    before: float
    reverted: tuple[str, ...]

    def checked(self, saved: ov.Model) -> dict[str, Any]:
        """Measure what was saved; answers the report.

        Raises:
            ParityFailed: the metric has lost more than allowed.

        """
        control = self.examination.control
        after = self.examination.measure(saved, "the quantized model")
        drop = drop_of(control, self.before, after)
        report = {
            **control.model_dump(mode="json"),
            "split": self.examination.split.name,
            "samples": len(self.examination.indices),
            "before": self.before,
            "after": after,
            "drop": drop,
            "reverted": list(self.reverted),
        }
        if drop > control.max_drop + 1e-9:
            unit = "points" if control.drop_type == "absolute" else "% of it"
            raise ParityFailed(
                f"Accuracy control could not keep {control.metric}: {self.before:.2f} % became {after:.2f} % "
                f"({drop:.2f} {unit} lost, {control.max_drop:g} allowed), "
                f"with {len(self.reverted)} operations back in floating point.",
                hint="Allow a larger drop or more iterations, or calibrate on more samples.",
                facts={"accuracy_control": report},
            )
        return report

    def report(self, facts: dict[str, Any]) -> None:
        """Measure the metric of the result, and say what was put back."""
        context, control = self.examination.context, self.examination.control
        details = {**facts, "accuracy_control": facts["accuracy_control"], "samples": len(self.examination.indices)}
        name, split = control.metric, self.examination.split.name
        value = facts["accuracy_control"]["after"]
        context.measure(name, value, dataset="data", split=split, runtime=RUNTIME, details=details)
        context.log(
            f"{name} {self.before:.2f} % -> {value:.2f} %; {len(self.reverted)} operations are back in floating "
            f"point{': ' if self.reverted else ''}{', '.join(self.reverted[:20])}"
        )


def drop_of(control: AccuracyControl, before: float, after: float) -> float:
    """What the metric lost: points, or percent of its value; negative for a gain."""
    return before - after if control.drop_type == "absolute" else (1 - after / before) * 100


def examination_of(
    control: AccuracyControl, split: ImageSplit, preprocessing: Preprocessing, context: OperationContext
) -> Examination:
    """Choose the pictures.

    Raises:
        InvalidInput: top-5 of five classes or fewer says nothing.

    """
    if len(split.classes) <= TOP[control.metric]:
        raise InvalidInput(
            f"{control.metric} of {len(split.classes)} classes is always 100 %.",
            hint="Control top1.",
            facts={"field": "accuracy_control.metric"},
        )
    indices = split.random_indices(control.samples, context.seed)
    return Examination(control, split, preprocessing, indices, context)


def quantise_with_control(
    model: ov.Model, dataset: nncf.Dataset, samples: int, params: QuantizeParams, examination: Examination
) -> Controlled:
    """Quantize, and put layers back until the metric is kept or nothing is left to put back.

    Raises:
        InvalidInput: the float model is right nowhere, so there is nothing to keep.

    """
    control, folder = examination.control, examination.context.scratch
    before = examination.measure(model, "the float model")
    if before == 0:
        raise InvalidInput(
            f"{control.metric} of the float model is 0 % on {examination.split.name!r}, so there is nothing to keep.",
            hint="Check that the data set is the one that the model was made for, and its label offset.",
        )
    restorer = AdvancedAccuracyRestorerParameters(
        max_num_iterations=control.max_iterations or sys.maxsize,
        tune_hyperparams=control.tune_hyperparameters,
        ranking_subset_size=control.ranking_samples,
        # More would take threads that the job does not have, and break ties in the order in which they finish.
        num_ranking_workers=1,
        intermediate_model_dir=str(folder),
    )
    absolute = control.drop_type == "absolute"
    made = nncf.quantize_with_accuracy_control(
        model,
        dataset,
        nncf.Dataset(list(range(len(examination.indices)))),
        examination.validate,
        max_drop=control.max_drop if absolute else control.max_drop / 100,
        drop_type=nncf.DropType.ABSOLUTE if absolute else nncf.DropType.RELATIVE,
        advanced_quantization_parameters=advanced_parameters(params),
        advanced_accuracy_restorer_parameters=restorer,
        **nncf_options(params, samples),
    )
    fully = core().read_model(folder / _INTERMEDIATE)
    left = quantised_operations(made)
    reverted = tuple(name for name in quantised_operations(fully) if name not in set(left))
    return Controlled(made, examination, before, reverted)
