"""What this plugin can do, as data: importing it imports no framework."""

from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind
from zoo_torch.params import BenchmarkParams, DistillParams, EvaluateParams, ExportOnnxParams, TrainParams

WEIGHTS = ("safetensors", "pickle")
_DATA = Port(
    name="data",
    kind=RepositoryKind.DATASET,
    role=LineageRole.TRAINED_ON,
    description="Labelled images with a training and a test split.",
)

TRAIN = OperationSpec(
    name="torch.train",
    version=1,
    summary="Train an image classifier from scratch, or further from given weights.",
    params=TrainParams,
    implementation="zoo_torch.train:run",
    inputs=(
        _DATA,
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

DISTILL = OperationSpec(
    name="torch.distill",
    version=1,
    summary="Train a student to reproduce one or several frozen teachers (Hinton et al. 2015).",
    params=DistillParams,
    implementation="zoo_torch.distill:run",
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
        _DATA,
    ),
    outputs=(Port(name="model", formats=("safetensors",)),),
    resources=Resources(memory_gib=4),
    deterministic=True,
    strategy=StrategyKind.DISTILLATION,
    method="kd",
)

EXPORT_ONNX = OperationSpec(
    name="torch.export_onnx",
    version=1,
    summary="Convert PyTorch weights to ONNX with a dynamic batch, and check the file in ONNX Runtime.",
    params=ExportOnnxParams,
    implementation="zoo_torch.export_onnx:run",
    inputs=(
        Port(name="model", formats=WEIGHTS, role=LineageRole.CONVERTED_FROM, description="The weights to convert."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            required=False,
            description="Images for the parity check; without it, noise from the job's seed.",
        ),
    ),
    outputs=(Port(name="model", formats=("onnx",)),),
    resources=Resources(memory_gib=4),
    deterministic=True,
    strategy=StrategyKind.CONVERSION,
    method="onnx",
)

EVALUATE = OperationSpec(
    name="torch.evaluate",
    version=1,
    summary="Measure top-1, top-5, loss, size, parameters and MACs of PyTorch weights.",
    params=EvaluateParams,
    implementation="zoo_torch.evaluate:run",
    inputs=(
        Port(name="model", formats=WEIGHTS, measured=True, description="The weights to evaluate."),
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

BENCHMARK = OperationSpec(
    name="torch.benchmark",
    version=1,
    summary="Measure the latency and throughput of PyTorch weights on this worker.",
    params=BenchmarkParams,
    implementation="zoo_torch.benchmark:run",
    inputs=(Port(name="model", formats=WEIGHTS, measured=True, description="The weights to time."),),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
