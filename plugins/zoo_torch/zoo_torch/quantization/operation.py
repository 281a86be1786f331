"""``torch.quantize_aware``: train with rounded weights and activations (LSQ), then export the integers."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.devices import out_of_memory_is_said, prepare_device
from zoo_torch.distillation.answers import Answers, AskedAnswers, KeptAnswers, can_be_kept
from zoo_torch.distillation.teachers import Classroom, Teacher, Teachers, check_class_names, load_teachers
from zoo_torch.networks.weights import Weights, load_weights
from zoo_torch.quantization.calibration import calibrate
from zoo_torch.quantization.exports import Exporter, exports_possible
from zoo_torch.quantization.network import quantise, quantised_layers, resolved, settle_steps
from zoo_torch.quantization.params import QuantizeAwareParams
from zoo_torch.quantization.scheme import QuantizationScheme
from zoo_torch.quantization.teaching import TaughtByLabels, TaughtByTeachers
from zoo_torch.quantization.weight_bits import effective_bits, effective_size_bytes
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.method import Method
from zoo_torch.training.precision import MixedPrecision
from zoo_torch.training.results import hand_over
from zoo_torch.training.team import Team
from zoo_torch.training.trainer import Trainer, TrainingData
from zoo_vision.agreement import check_classes_fit

STEP_SUFFIX = "_quantiser.step"


@on_all_devices
def run(params: QuantizeAwareParams, inputs: Inputs, context: OperationContext) -> None:
    """Quantise, calibrate, train, measure on the test split, write and export; see :class:`QuantizeAwareParams`."""
    device = prepare_device(context)
    item = inputs.one("model")
    given = load_weights(item)
    base = _in_float(given)
    data = open_training_data(inputs, params, model_preprocessing(item))
    _check_fits(item, base, data)
    network = base.build()
    scheme = resolved(network, _scheme(params, given))
    quantise(network, scheme)
    architecture = base.architecture.model_copy(update={"quantization": scheme})
    exports = exports_possible(params, network, data)
    teachers = _load_teachers(inputs, data, params, device)
    trainer = Trainer(network, data, params, context, device, [teacher.preprocessing for teacher in teachers])
    _begin(trainer, params, architecture.name, scheme, teachers)
    for name, reason in exports.items():
        if reason:
            context.log(f"No {name}: {reason}")
    seconds = trainer.run(_method(trainer, params, teachers, inputs))
    settle_steps(trainer.network)
    hand_over(trainer, architecture, seconds)
    context.measure("effective_bits", effective_bits(trainer.network))
    context.measure("effective_size_bytes", effective_size_bytes(trainer.network))
    if Team.current().index:
        # All processes hold the same network, and the first one reports.
        return
    exporter = Exporter(trainer.network.cpu().float(), architecture, data, params, context)
    for name, reason in exports.items():
        if not reason:
            exporter.write(name)


def _scheme(params: QuantizeAwareParams, given: Weights) -> QuantizationScheme:
    if not params.keep_scheme:
        return params.scheme
    scheme = given.architecture.quantization
    if scheme is None:
        raise InvalidInput(
            f"keep_scheme needs a model that is quantised, and {given.source} is not.",
            hint="Give one of torch.mixed_precision, or the bits instead of keep_scheme.",
            facts={"field": "keep_scheme"},
        )
    return scheme.model_copy(update={"overrides": {**scheme.overrides, **params.overrides}})


def _in_float(weights: Weights) -> Weights:
    """The weights behind the rounding of a network that is quantised already; others as they are."""
    if weights.architecture.quantization is None:
        return weights
    state = {key: value for key, value in weights.state.items() if not key.endswith(STEP_SUFFIX)}
    return Weights(weights.architecture.model_copy(update={"quantization": None}), state, weights.source)


def _check_fits(item: InputItem, base: Weights, data: TrainingData) -> None:
    check_classes_fit(item.reference, data.train, data.preprocessing, base.architecture.num_classes)
    check_class_names(item, data.train.classes, "model")
    check_channels(item.reference, base.architecture.in_chans, data.preprocessing)


def _load_teachers(
    inputs: Inputs, data: TrainingData, params: QuantizeAwareParams, device: torch.device
) -> tuple[Teacher, ...]:
    items = inputs.many("teacher")
    return (
        load_teachers(items, Classroom(data.train, data.preprocessing, device, params.channels_last)) if items else ()
    )


def _begin(
    trainer: Trainer,
    params: QuantizeAwareParams,
    name: str,
    scheme: QuantizationScheme,
    teachers: tuple[Teacher, ...],
) -> None:
    with out_of_memory_is_said(trainer.batches.batch_size):
        batches = calibrate(trainer.network, _calibration_inputs(trainer, params))
    taught = f", taught by {', '.join(teacher.reference for teacher in teachers)}" if teachers else ""
    trainer.context.log(
        f"{name} with {scheme.weight_bits}-bit weights and {scheme.activation_bits}-bit activations in "
        f"{len(quantised_layers(trainer.network))} layers ({effective_bits(trainer.network):.2f} bits for each weight)"
        f"{taught}: {batches} batches to calibrate, {trainer.total_steps} steps of {trainer.batches.batch_size} "
        f"samples on {trainer.device}."
    )


def _calibration_inputs(trainer: Trainer, params: QuantizeAwareParams) -> Iterator[Tensor]:
    """Training pictures, drawn with the seed, as they are at inference (not augmented)."""
    split, size = trainer.data.train, trainer.batches.batch_size
    chosen = np.random.default_rng(trainer.context.seed).permutation(trainer.batches.positions)
    chosen = chosen[: params.calibration_batches * size]
    for inputs, _ in split.batches(trainer.data.preprocessing, size, indices=chosen):
        trainer.context.raise_if_cancelled()
        yield torch.from_numpy(inputs).to(trainer.device, memory_format=torch.channels_last)


def _method(trainer: Trainer, params: QuantizeAwareParams, members: tuple[Teacher, ...], inputs: Inputs) -> Method:
    if not members:
        return TaughtByLabels(params)
    preprocessing = trainer.data.preprocessing
    precision = MixedPrecision.of(params, trainer.device)
    teachers = Teachers(members, preprocessing, trainer.device, precision, params.channels_last)
    answers: Answers = AskedAnswers(teachers)
    if can_be_kept(teachers, trainer.batches, len(trainer.data.train.classes), trainer.context):
        answers = KeptAnswers(teachers, trainer.batches, inputs.one("data"), trainer.context)
    return TaughtByTeachers(params, answers, teachers.weights, preprocessing.label_offset)
