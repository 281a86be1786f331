"""``torch.distill``: train a student to reproduce one or several frozen teachers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.devices import out_of_memory_is_said, prepare_device
from zoo_torch.distillation.losses import distillation_loss
from zoo_torch.distillation.params import DistillParams
from zoo_torch.distillation.teachers import Teacher, Teachers, cache_fits, check_teacher_weights, load_teacher
from zoo_torch.networks.weights import load_weights
from zoo_torch.training.batches import Batch
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Objective
from zoo_torch.training.results import hand_over
from zoo_torch.training.trainer import Trainer, TrainingData


def run(params: DistillParams, inputs: Inputs, context: OperationContext) -> None:
    """Distil, measure on the test split, write safetensors; see :class:`DistillParams`."""
    device = prepare_device(context)
    item = inputs.one("student")
    student = load_weights(item)
    data = open_training_data(inputs, params, model_preprocessing(item) if params.image_size is None else None)
    _check_student(student.architecture.num_classes, data, item.reference)
    check_channels(item.reference, student.architecture.in_chans, data.preprocessing)
    members = _load_teachers(inputs.many("teacher"), data, device)
    # The seed decides the student's first weights, however many teachers were built before it.
    prepare_device(context)
    network = student.build() if params.initialise == "from_student" else student.architecture.build()
    trainer = Trainer(network, data, params, context, device)
    context.log(
        f"{student.architecture.name} learns from {', '.join(member.reference for member in members)}: "
        f"{trainer.total_steps} steps of {trainer.batches.batch_size} samples on {device}."
    )
    teachers = Teachers(members, params.temperature, params.combine, device)
    with out_of_memory_is_said(trainer.batches.batch_size):
        objective = _objective(trainer, teachers, params)
    seconds = trainer.run(objective)
    hand_over(trainer, student.architecture, seconds)


def _objective(trainer: Trainer, teachers: Teachers, params: DistillParams) -> Objective:
    """(1 - w) CE + w T^2 KL.  Without augmentation the teachers see every picture once per job, not once per epoch."""
    positions, classes = trainer.batches.positions, len(trainer.data.train.classes)
    answers: Tensor | None = None
    if params.views == 1 and params.epochs > 1 and cache_fits(len(positions), classes):
        answers = teachers.answer_all(trainer.data.train, positions, trainer.context)
    offset = trainer.data.preprocessing.label_offset

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        truth = label_loss(logits, batch, params.label_smoothing)
        target = teachers.answer(batch).clone() if answers is None else answers[batch.indices].to(logits.device)
        imitation = distillation_loss(logits[:, offset:], target, params.temperature)
        return (1 - params.kd_weight) * truth + params.kd_weight * imitation

    return Objective(objective)


def _load_teachers(items: Sequence[InputItem], data: TrainingData, device: torch.device) -> tuple[Teacher, ...]:
    members = tuple(load_teacher(item, data.train, data.preprocessing, device) for item in items)
    check_teacher_weights(members)
    return members


def _check_student(outputs: int, data: TrainingData, reference: str) -> None:
    wanted = len(data.train.classes) + data.preprocessing.label_offset
    if outputs != wanted:
        raise InvalidInput(
            f"The student {reference} has {outputs} outputs, but the data set needs {wanted}.",
            hint="Give a student that was made for the classes of this data set.",
            facts={"field": "student", "outputs": outputs, "classes": wanted},
        )
