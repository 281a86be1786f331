"""What pruning can do, as data: importing it imports no framework."""

from zoo_sdk.operations import MAX_GPUS, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind
from zoo_torch.ports import WEIGHTS
from zoo_torch.pruning.params import PruneParams

PRUNE = OperationSpec(
    name="torch.prune",
    version=2,
    summary="Remove the channels that matter least, whole and in all coupled layers; fine-tune if wanted.",
    params=PruneParams,
    implementation="zoo_torch.pruning.operation:run",
    inputs=(
        Port(name="model", formats=WEIGHTS, role=LineageRole.BASE, description="The weights to prune."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.TRAINED_ON,
            required=False,
            description="Labelled images with a training and a test split; needed for method=taylor and for training "
            "(epochs, sparse_epochs, pruning_schedule). With it, the result is measured.",
        ),
    ),
    outputs=(Port(name="model", formats=("safetensors", "json")),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.PRUNING,
    method="l1",
)
