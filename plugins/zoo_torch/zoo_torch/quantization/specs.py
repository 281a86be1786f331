"""What quantization-aware training can do, as data: importing it imports no framework."""

from zoo_sdk.operations import MAX_GPUS, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind
from zoo_torch.ports import TRAINING_DATA
from zoo_torch.quantization.params import EvaluateIntegersParams, QuantizeAwareParams

QUANTIZE_AWARE = OperationSpec(
    name="torch.quantize_aware",
    version=2,
    summary="Train a network further while its weights and activations are rounded to 2 to 8 bits with learned steps "
    "(LSQ, Esser et al. 2020), and export the integers.",
    params=QuantizeAwareParams,
    implementation="zoo_torch.quantization.operation:run",
    inputs=(
        Port(
            name="model",
            formats=("safetensors",),
            role=LineageRole.BASE,
            description="The trained network; one that is quantised already goes on from its weights, with new steps.",
        ),
        TRAINING_DATA,
        Port(
            name="teacher",
            formats=("safetensors",),
            role=LineageRole.TEACHER,
            required=False,
            many=True,
            weighted=True,
            description="Networks that it also learns from; never changed.",
        ),
    ),
    outputs=(Port(name="model", formats=("safetensors", "onnx", "zoo-integer", "torchscript")),),
    resources=Resources(memory_gib=4, max_gpus=MAX_GPUS),
    deterministic=True,
    strategy=StrategyKind.QUANTIZATION,
    method="lsq",
)

EVALUATE_INTEGERS = OperationSpec(
    name="torch.evaluate_integers",
    version=2,
    summary="Measure top-1, top-5, loss and size of packed integer weights, computed with integers in numpy.",
    params=EvaluateIntegersParams,
    implementation="zoo_torch.quantization.evaluate_integers:run",
    inputs=(
        Port(name="model", formats=("zoo-integer",), measured=True, description="The packed network."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            description="Labelled images.",
        ),
    ),
    resources=Resources(memory_gib=4),
    deterministic=True,
)
