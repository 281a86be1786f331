"""What AutoSlim can do, as data: importing it imports no framework."""

from zoo_sdk.operations import MAX_GPUS, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, StrategyKind
from zoo_torch.autoslim.params import SlimRetrainParams, SlimSearchParams, SlimSupernetParams
from zoo_torch.ports import INIT, TRAINING_DATA

SLIM_SUPERNET = OperationSpec(
    name="torch.slim_supernet",
    version=2,
    summary="Train a slimmable supernet by the sandwich rule: one set of weights for many widths "
    "(Yu and Huang 2019, arXiv 1903.05134).",
    params=SlimSupernetParams,
    implementation="zoo_torch.autoslim.supernet:run",
    inputs=(TRAINING_DATA, INIT),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
    method="slimmable",
)

SLIM_SEARCH = OperationSpec(
    name="torch.slim_search",
    version=2,
    summary="Search a supernet greedily for the best network within each number of operations "
    "(AutoSlim, Yu and Huang 2019, arXiv 1903.11728).",
    params=SlimSearchParams,
    implementation="zoo_torch.autoslim.searching:run",
    inputs=(
        Port(
            name="supernet",
            formats=("safetensors",),
            role=LineageRole.BASE,
            description="Made by torch.slim_supernet.",
        ),
        TRAINING_DATA.model_copy(
            update={
                "role": LineageRole.CALIBRATED_ON,
                "description": "The data set that the supernet was trained on; its test split is not looked at.",
            }
        ),
    ),
    outputs=(Port(name="model", formats=("safetensors", "json")),),
    resources=Resources(memory_gib=4, max_gpus=1, time_limit_seconds=7 * 24 * 3600),
    deterministic=True,
    strategy=StrategyKind.PRUNING,
    method="autoslim",
)

SLIM_RETRAIN = OperationSpec(
    name="torch.slim_retrain",
    version=2,
    summary="Train a network that torch.slim_search found, from scratch or from the supernet's weights.",
    params=SlimRetrainParams,
    implementation="zoo_torch.autoslim.retraining:run",
    inputs=(
        Port(
            name="search",
            formats=("json",),
            role=LineageRole.BASE,
            description="Made by torch.slim_search; its report names the networks.",
        ),
        Port(
            name="supernet",
            formats=("safetensors",),
            role=LineageRole.INITIALISED_FROM,
            required=False,
            description="The supernet that was searched; needed for initialise=supernet.",
        ),
        TRAINING_DATA,
    ),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.TRAINING,
    method="autoslim_retrain",
)
