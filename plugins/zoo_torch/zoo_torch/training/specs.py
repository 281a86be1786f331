"""What training can do, as data: importing it imports no framework."""

from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, StrategyKind
from zoo_torch.ports import TRAINING_DATA, WEIGHTS
from zoo_torch.training.params import TrainParams

TRAIN = OperationSpec(
    name="torch.train",
    version=2,
    summary="Train an image classifier from scratch, or further from given weights.",
    params=TrainParams,
    implementation="zoo_torch.training.operation:run",
    inputs=(
        TRAINING_DATA,
        Port(
            name="init",
            formats=WEIGHTS,
            role=LineageRole.INITIALISED_FROM,
            required=False,
            description="Weights to start from; its classifier is made anew where the number of classes differs.",
        ),
    ),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
    method="supervised",
)
