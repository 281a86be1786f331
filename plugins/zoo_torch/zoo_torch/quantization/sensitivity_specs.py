"""What mixed precision can do, as data: importing it imports no framework."""

from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, StrategyKind
from zoo_torch.ports import TRAINING_DATA
from zoo_torch.quantization.sensitivity_params import MixedPrecisionParams

MIXED_PRECISION = OperationSpec(
    name="torch.mixed_precision",
    version=2,
    summary="Quantise a network without training, and keep the most sensitive layers at more bits or in float "
    "until it is as good as it must be.",
    params=MixedPrecisionParams,
    implementation="zoo_torch.quantization.mixed_precision:run",
    inputs=(
        Port(
            name="model",
            formats=("safetensors",),
            role=LineageRole.BASE,
            description="The trained network, in floating point.",
        ),
        TRAINING_DATA.model_copy(update={"role": LineageRole.CALIBRATED_ON}),
    ),
    outputs=(Port(name="model", formats=("safetensors", "json")),),
    resources=Resources(memory_gib=4, max_gpus=1),
    deterministic=True,
    strategy=StrategyKind.QUANTIZATION,
    method="mixed_precision",
)
