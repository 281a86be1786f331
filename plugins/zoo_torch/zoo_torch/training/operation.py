"""``torch.train``: an image classifier from scratch, or further from given weights."""

from torch import Tensor

from zoo_sdk.context import Inputs, OperationContext
from zoo_torch.devices import prepare_device
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.batches import Batch
from zoo_torch.training.losses import label_loss
from zoo_torch.training.method import Objective
from zoo_torch.training.params import TrainParams
from zoo_torch.training.results import hand_over
from zoo_torch.training.start import starting_point
from zoo_torch.training.trainer import Trainer


@on_all_devices
def run(params: TrainParams, inputs: Inputs, context: OperationContext) -> None:
    """Train, measure on the test split, write safetensors; see :class:`zoo_torch.training.params.TrainParams`."""
    device = prepare_device(context)
    start = starting_point(params, inputs, context)
    trainer = Trainer(start.network, start.data, params, context, device)
    context.log(
        f"{start.architecture.name}: {trainer.total_steps} steps of {trainer.batches.batch_size} samples on {device}."
    )

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        return label_loss(logits, batch, params.label_smoothing)

    seconds = trainer.run(Objective(objective))
    hand_over(trainer, start.architecture, seconds)
