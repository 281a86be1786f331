"""What measuring can do, as data: importing it imports no framework."""

from zoo_sdk.operations import OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind
from zoo_torch.measuring.params import BenchmarkParams, EvaluateParams
from zoo_torch.ports import WEIGHTS

EVALUATE = OperationSpec(
    name="torch.evaluate",
    version=2,
    summary="Measure top-1, top-5, loss, size, parameters and MACs of PyTorch weights.",
    params=EvaluateParams,
    implementation="zoo_torch.measuring.evaluate:run",
    inputs=(
        Port(name="model", formats=WEIGHTS, measured=True, description="The weights to evaluate."),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            description="Labelled images.",
        ),
    ),
    resources=Resources(memory_gib=4, max_gpus=1),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="torch.benchmark",
    version=2,
    summary="Measure the latency and throughput of PyTorch weights on this worker.",
    params=BenchmarkParams,
    implementation="zoo_torch.measuring.benchmark:run",
    inputs=(Port(name="model", formats=WEIGHTS, measured=True, description="The weights to time."),),
    resources=Resources(memory_gib=4, max_gpus=1, time_limit_seconds=3600),
)
