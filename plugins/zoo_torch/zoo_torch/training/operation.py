"""``torch.train``: an image classifier from scratch, or further from given weights."""

from torch import Tensor

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.devices import prepare_device
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.weights import Weights, load_weights
from zoo_torch.training.batches import Batch
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Objective
from zoo_torch.training.params import TrainParams
from zoo_torch.training.results import hand_over
from zoo_torch.training.trainer import Trainer


def run(params: TrainParams, inputs: Inputs, context: OperationContext) -> None:
    """Train, measure on the test split, write safetensors; see :class:`zoo_torch.training.params.TrainParams`."""
    device = prepare_device(context)
    init = inputs.optional("init")
    options = dict(params.architecture_options)
    weights = load_weights(init, architecture=params.architecture, options=options) if init else None
    data = open_training_data(inputs, params, model_preprocessing(init) if init else None)
    outputs = len(data.train.classes) + data.preprocessing.label_offset
    if weights is not None and init is not None:
        check_channels(init.reference, weights.architecture.in_chans, data.preprocessing)
        _report_classes(weights, outputs, params, context)
        architecture = weights.architecture.model_copy(update={"num_classes": outputs})
        network = weights.build_for_classes(outputs, params.classifier)
    else:
        architecture = _architecture(params, outputs, data.preprocessing)
        network = architecture.build()
    trainer = Trainer(network, data, params, context, device)
    context.log(
        f"{architecture.name}: {trainer.total_steps} steps of {trainer.batches.batch_size} samples on {device}."
    )

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        return label_loss(logits, batch, params.label_smoothing)

    seconds = trainer.run(Objective(objective))
    hand_over(trainer, architecture, seconds)


def _report_classes(weights: Weights, outputs: int, params: TrainParams, context: OperationContext) -> None:
    if params.classifier != "shift" and weights.architecture.num_classes != outputs:
        context.log(
            f"The classifier is made anew: {weights.source} has {weights.architecture.num_classes} outputs, "
            f"the data set needs {outputs}."
        )


def _architecture(params: TrainParams, outputs: int, preprocessing: Preprocessing) -> Architecture:
    if params.architecture is None:
        raise InvalidInput(
            "Neither an architecture nor weights to start from were given.",
            hint="Give the parameter `architecture`, such as zoo:resnet_small, or the input `init`.",
            facts={"field": "architecture"},
        )
    options = dict(params.architecture_options)
    found = Architecture.of(params.architecture, num_classes=outputs, in_chans=preprocessing.channels, options=options)
    if found.takes_image_size and "img_size" not in options:
        found = found.model_copy(update={"options": {**options, "img_size": preprocessing.crop[0]}})
    return found
