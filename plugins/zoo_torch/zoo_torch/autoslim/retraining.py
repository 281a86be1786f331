"""``torch.slim_retrain``: train one of the networks that a search found."""

from torch import Tensor, nn

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.autoslim.params import SlimRetrainParams
from zoo_torch.autoslim.report import Found, SearchReport
from zoo_torch.devices import prepare_device
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.narrowing import narrow
from zoo_torch.networks.weights import load_weights
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.batches import Batch
from zoo_torch.training.data import check_channels, model_preprocessing, open_training_data
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Objective
from zoo_torch.training.results import hand_over
from zoo_torch.training.trainer import Trainer
from zoo_vision.agreement import check_classes_fit


@on_all_devices
def run(params: SlimRetrainParams, inputs: Inputs, context: OperationContext) -> None:
    """Train on the whole training split, measure on the test split; see :class:`SlimRetrainParams`."""
    device = prepare_device(context)
    item = inputs.one("search")
    report = SearchReport.read(item)
    found = report.choose(params.target_macs, params.target_ratio)
    architecture = found.architecture_in(report.architecture)
    data = open_training_data(inputs, params, model_preprocessing(item))
    check_classes_fit(item.reference, data.train, data.preprocessing, architecture.num_classes)
    check_channels(item.reference, architecture.in_chans, data.preprocessing)
    network = architecture.build() if params.initialise == "scratch" else _slices(inputs, report.architecture, found)
    trainer = Trainer(network, data, params, context, device)
    context.log(
        f"{architecture.name} with {found.figures.macs:,} operations, {params.initialise}: {trainer.total_steps} steps "
        f"of {trainer.batches.batch_size} samples on {device}."
    )

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        return label_loss(logits, batch, params.label_smoothing)

    seconds = trainer.run(Objective(objective))
    hand_over(trainer, architecture, seconds, details={"target_macs": found.target_macs})


def _slices(inputs: Inputs, whole: Architecture, found: Found) -> nn.Module:
    item = inputs.optional("supernet")
    if item is None:
        raise InvalidInput(
            "initialise=supernet needs the supernet's weights.",
            hint="Give the input `supernet` that the search was given, or initialise=scratch.",
            facts={"field": "supernet"},
        )
    weights = load_weights(item)
    if weights.architecture != whole:
        raise InvalidInput(
            f"{item.reference} is a {weights.architecture.name} with {weights.architecture.num_classes} outputs, and "
            f"the search was in another network.",
            hint="Give the supernet that the search was given.",
            facts={"field": "supernet"},
        )
    network = weights.build()
    narrow(network, found.layers)
    return network
