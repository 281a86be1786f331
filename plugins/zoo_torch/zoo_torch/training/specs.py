"""What training can do, as data: importing it imports no framework."""

from zoo_sdk.operations import MAX_GPUS, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import StrategyKind
from zoo_torch.ports import INIT, TRAINING_DATA
from zoo_torch.training.params import TrainParams

TRAIN = OperationSpec(
    name="torch.train",
    version=3,
    summary="Train an image classifier from scratch, or further from given weights.",
    params=TrainParams,
    implementation="zoo_torch.training.operation:run",
    inputs=(TRAINING_DATA, INIT),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
    method="supervised",
)
