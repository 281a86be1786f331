"""What this plugin can do, as data: importing this module imports no framework."""

from pydantic import Field

from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind

MODEL = Port(name="model", formats=("onnx",), measured=True, description="The ONNX model under test.")


class EvaluateParams(OperationParams):
    """Parameters of ``onnxruntime.evaluate``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set to evaluate on.")
    batch: int = Field(64, ge=1, le=4096, description="Samples in a batch; a model with a fixed batch uses its own.")
    limit: int | None = Field(
        None, ge=1, le=10**9, description="Evaluate so many samples, evenly spread over the split; all by default."
    )


class BenchmarkParams(OperationParams):
    """Parameters of ``onnxruntime.benchmark``."""

    batch: int = Field(1, ge=1, le=4096, description="Samples in a batch.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; by default all that the worker gives.")
    seconds: float = Field(5.0, gt=0, le=600, description="Time to measure for.")
    warmup: int = Field(10, ge=0, le=10_000, description="Runs before the clock starts.")


EVALUATE = OperationSpec(
    name="onnxruntime.evaluate",
    version=1,
    summary="Measure an ONNX classifier's accuracy, size, parameters and multiply-accumulates in ONNX Runtime.",
    params=EvaluateParams,
    implementation="zoo_onnxruntime.evaluation:run",
    inputs=(
        MODEL,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
    ),
    resources=Resources(memory_gib=4, time_limit_seconds=6 * 3600),
    deterministic=True,
)

BENCHMARK = OperationSpec(
    name="onnxruntime.benchmark",
    version=1,
    summary="Measure an ONNX model's latency and throughput in ONNX Runtime on this worker.",
    params=BenchmarkParams,
    implementation="zoo_onnxruntime.benchmark:run",
    inputs=(MODEL,),
    resources=Resources(memory_gib=4, time_limit_seconds=3600),
)
