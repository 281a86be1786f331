"""``torch.distill``: train a student to reproduce one or several frozen teachers."""

from dataclasses import dataclass

from zoo_sdk.context import InputItem, Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.devices import prepare_device
from zoo_torch.distillation.answers import Answers, AskedAnswers, KeptAnswers, can_be_kept
from zoo_torch.distillation.hidden import HiddenLayers, Pupil
from zoo_torch.distillation.method import AnswerLoss, Distillation, HiddenDistillation
from zoo_torch.distillation.params import HIDDEN_METHODS, DistillParams
from zoo_torch.distillation.teachers import Classroom, Teacher, Teachers, check_class_names, load_teachers
from zoo_torch.networks.weights import load_weights
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.method import Method
from zoo_torch.training.precision import MixedPrecision
from zoo_torch.training.results import hand_over
from zoo_torch.training.trainer import Trainer, TrainingData


@on_all_devices
def run(params: DistillParams, inputs: Inputs, context: OperationContext) -> None:
    """Distil, measure on the test split, write safetensors; see :class:`DistillParams`."""
    device = prepare_device(context)
    item = inputs.one("student")
    student = load_weights(item)
    data = open_training_data(inputs, params, model_preprocessing(item))
    _check_student(item, student.architecture.num_classes, data)
    check_channels(item.reference, student.architecture.in_chans, data.preprocessing)
    kept_layers = tuple(params.layers.values())
    room = Classroom(data.train, data.preprocessing, device, params.channels_last, kept_layers)
    members = load_teachers(inputs.many("teacher"), room)
    # The seed decides the student's first weights, however many teachers were built before it.
    prepare_device(context)
    network = student.build() if params.initialise == "from_student" else student.architecture.build()
    trainer = Trainer(network, data, params, context, device, [member.preprocessing for member in members])
    context.log(
        f"{student.architecture.name} learns from {', '.join(member.reference for member in members)} by "
        f"{params.method}: {trainer.total_steps} steps of {trainer.batches.batch_size} samples on {device}."
    )
    method = _method(trainer, params, Lesson(item, members, inputs.one("data")))
    seconds = trainer.run(method)
    hand_over(trainer, student.architecture, seconds)


@dataclass(frozen=True)
class Lesson:
    """Who learns what from whom."""

    student: InputItem
    teachers: tuple[Teacher, ...]
    data: InputItem


def _method(trainer: Trainer, params: DistillParams, lesson: Lesson) -> Method:
    preprocessing, device = trainer.data.preprocessing, trainer.device
    precision = MixedPrecision.of(params, device)
    teachers = Teachers(lesson.teachers, preprocessing, device, precision, params.channels_last)
    loss = AnswerLoss(params, teachers.weights, preprocessing.label_offset)
    if params.method in HIDDEN_METHODS:
        pupil = Pupil(lesson.student.reference, trainer.network, preprocessing)
        masters = [Pupil(one.reference, one.network, one.preprocessing) for one in lesson.teachers]
        return HiddenDistillation(loss, teachers, HiddenLayers(pupil, masters, teachers.weights, params))
    classes = len(trainer.data.train.classes)
    answers: Answers = AskedAnswers(teachers)
    if params.keep_answers == "auto" and can_be_kept(teachers, trainer.batches, classes, trainer.context):
        answers = KeptAnswers(teachers, trainer.batches, lesson.data, trainer.context)
    return Distillation(loss, answers)


def _check_student(item: InputItem, outputs: int, data: TrainingData) -> None:
    wanted = len(data.train.classes) + data.preprocessing.label_offset
    if outputs != wanted:
        raise InvalidInput(
            f"The student {item.reference} has {outputs} outputs, but the data set needs {wanted}.",
            hint="Give a student that was made for the classes of this data set.",
            facts={"field": "student", "outputs": outputs, "classes": wanted},
        )
    check_class_names(item, data.train.classes, "student")
