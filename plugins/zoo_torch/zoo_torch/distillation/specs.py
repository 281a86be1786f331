"""What distillation can do, as data: importing it imports no framework."""

from zoo_sdk.operations import MAX_GPUS, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, StrategyKind
from zoo_torch.distillation.params import DistillParams
from zoo_torch.ports import TRAINING_DATA

DISTILL = OperationSpec(
    name="torch.distill",
    version=3,
    summary="Train a student to reproduce one or several frozen teachers: their answers, or hidden layers.",
    params=DistillParams,
    implementation="zoo_torch.distillation.operation:run",
    inputs=(
        Port(
            name="student",
            formats=("safetensors",),
            role=LineageRole.BASE,
            description="Gives the architecture, and with initialise=from_student the weights.",
        ),
        Port(
            name="teacher",
            formats=("safetensors",),
            role=LineageRole.TEACHER,
            many=True,
            weighted=True,
            description="Never changed; each sees the raw images through its own preprocessing.",
        ),
        TRAINING_DATA,
    ),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.DISTILLATION,
    method="kd",
)
