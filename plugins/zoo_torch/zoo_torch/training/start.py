"""Where a training starts: a fresh network of a named architecture, or given weights, and the pictures that it sees."""

from dataclasses import dataclass

from torch import nn

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.positions import at_image_size
from zoo_torch.networks.weights import Weights, load_weights
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.params import StartParams
from zoo_torch.training.trainer import TrainingData


@dataclass(frozen=True)
class Start:
    """A network with one output for each class of the data, and for the background where there is one."""

    network: nn.Module
    architecture: Architecture
    data: TrainingData


def starting_point(params: StartParams, inputs: Inputs, context: OperationContext) -> Start:
    """From the input ``init`` if it is given, else of ``params.architecture`` with fresh weights.

    Raises:
        InvalidInput, UnknownName: neither is given, they do not fit together, or the data do not fit.

    """
    init = inputs.optional("init")
    options = dict(params.architecture_options)
    weights = load_weights(init, architecture=params.architecture, options=options) if init else None
    data = open_training_data(inputs, params, model_preprocessing(init) if init else None)
    outputs = len(data.train.classes) + data.preprocessing.label_offset
    if weights is not None and init is not None:
        check_channels(init.reference, weights.architecture.in_chans, data.preprocessing)
        weights = at_image_size(weights, data.preprocessing.crop)
        _report_classes(weights, outputs, params, context)
        architecture = weights.architecture.model_copy(update={"num_classes": outputs})
        return Start(weights.build_for_classes(outputs, params.classifier), architecture, data)
    architecture = _architecture(params, outputs, data.preprocessing)
    return Start(architecture.build(), architecture, data)


def _report_classes(weights: Weights, outputs: int, params: StartParams, context: OperationContext) -> None:
    if params.classifier != "shift" and weights.architecture.num_classes != outputs:
        context.log(
            f"The classifier is made anew: {weights.source} has {weights.architecture.num_classes} outputs, "
            f"the data set needs {outputs}."
        )


def _architecture(params: StartParams, outputs: int, preprocessing: Preprocessing) -> Architecture:
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
