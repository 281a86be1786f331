"""What measuring can do, as data: importing it imports no framework."""

from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind
from zoo_torch.measuring.params import BenchmarkParams, EvaluateParams
from zoo_torch.ports import WEIGHTS

MEASURED_FORMATS = (*WEIGHTS, "torchscript")
EVALUATE = OperationSpec(
    name="torch.evaluate",
    version=2,
    summary="Measure accuracy (also per class), calibration, size and MACs of PyTorch weights or TorchScript.",
    params=EvaluateParams,
    implementation="zoo_torch.measuring.evaluate:run",
    inputs=(
        Port(
            name="model", formats=MEASURED_FORMATS, measured=True, description="The weights or the program to evaluate."
        ),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            description="Labelled images.",
        ),
        Port(
            name="reference",
            formats=MEASURED_FORMATS,
            required=False,
            description="Another model: how often do both say the same of a picture?",
        ),
    ),
    resources=Resources(memory_gib=4, max_gpus=1),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="torch.benchmark",
    version=2,
    summary="Measure latency, throughput, load time and memory of PyTorch weights or TorchScript on this worker.",
    params=BenchmarkParams,
    implementation="zoo_torch.measuring.benchmark:run",
    inputs=(
        Port(name="model", formats=MEASURED_FORMATS, measured=True, description="The weights or the program to time."),
    ),
    resources=Resources(memory_gib=4, max_gpus=1, time_limit_seconds=3600),
)
