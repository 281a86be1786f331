"""What this plugin can do, as data: importing this module imports no framework."""

from typing import Self

from pydantic import Field, model_validator

from zoo_sdk.conversions import ConversionEdge, Requirement
from zoo_sdk.operations import OperationParams, OperationSpec, Port, Resources
from zoo_sdk.vocabulary import LineageRole, RepositoryKind, StrategyKind
from zoo_vision import parameters as shared

NEEDS = (
    Requirement(kind="gpu", reason="plans are built and run on an NVIDIA GPU"),
    Requirement(kind="package", name="tensorrt", reason="install zoo-tensorrt[gpu]"),
)
MODEL_UNDER_TEST = Port(
    name="model", formats=("tensorrt-plan",), measured=True, description="A plan that this registry built."
)


class BuildParams(shared.ParityParams):
    """Parameters of ``tensorrt.build``.  The precision is the ONNX file's own: float32, float16, or QDQ for INT8."""

    min_batch: int = Field(1, ge=1, le=4096, description="Fewest samples that the plan takes at once.")
    opt_batch: int = Field(8, ge=1, le=4096, description="Samples that it is made fastest for.")
    max_batch: int = Field(32, ge=1, le=4096, description="Most samples that it takes at once.")
    workspace_gib: float = Field(2.0, gt=0, le=1024, description="Device memory that a layer may use while it runs.")
    optimization_level: int = Field(3, ge=0, le=5, description="Higher: a longer search for the fastest kernels.")
    tf32: bool = Field(
        default=False, description="True: float32 products may be computed with 10 bits of mantissa, which is faster."
    )
    timing_cache: bool = Field(
        default=True,
        description="Reuse what former builds on the same kind of GPU measured, and keep what this one does.",
    )
    max_abs_diff: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Largest allowed difference of an output; by default 1e-4 (fp32) or 1e-2 (fp16) of the largest "
        "output, or of 1 if all are smaller; for INT8 only the agreement counts.",
    )

    @model_validator(mode="after")
    def _batches_ascend(self) -> Self:
        if not self.min_batch <= self.opt_batch <= self.max_batch:
            raise ValueError(
                f"min_batch, opt_batch and max_batch must ascend, but are {self.min_batch}, {self.opt_batch}, "
                f"{self.max_batch}"
            )
        return self


class EvaluateParams(shared.EvaluateParams):
    """Parameters of ``tensorrt.evaluate``."""

    batch: int = Field(8, ge=1, le=4096, description="Samples in a batch, within what the plan was built for.")


class BenchmarkParams(OperationParams):
    """Parameters of ``tensorrt.benchmark``."""

    batch: int = Field(1, ge=1, le=4096, description="Samples in a batch, within what the plan was built for.")
    seconds: float = Field(5.0, gt=0, le=600, description="Time to measure for.")
    warmup: int = Field(10, ge=0, le=10_000, description="Runs before the clock starts.")


BUILD = OperationSpec(
    name="tensorrt.build",
    version=2,
    summary="Build a strongly typed TensorRT plan from ONNX for a worker's GPU, and check that it computes the same.",
    params=BuildParams,
    implementation="zoo_tensorrt.building:run",
    inputs=(
        Port(
            name="model",
            formats=("onnx",),
            role=LineageRole.CONVERTED_FROM,
            description="The ONNX model; quantised ones as QDQ.",
        ),
        Port(
            name="data",
            kind=RepositoryKind.DATASET,
            role=LineageRole.EVALUATED_ON,
            required=False,
            description="Pictures for the parity check; random ones by default.",
        ),
    ),
    outputs=(Port(name="model", formats=("tensorrt-plan",)),),
    resources=Resources(gpus=1, memory_gib=8, time_limit_seconds=2 * 3600),
    strategy=StrategyKind.CONVERSION,
    method="onnx_to_tensorrt_plan",
    edges=(ConversionEdge(source="onnx", target="tensorrt-plan", cost=20, requires=NEEDS),),
)

EVALUATE = OperationSpec(
    name="tensorrt.evaluate",
    version=2,
    summary="Measure a TensorRT plan's accuracy, size, parameters and MACs on the kind of GPU that it was built for.",
    params=EvaluateParams,
    implementation="zoo_tensorrt.measuring:evaluate",
    inputs=(
        MODEL_UNDER_TEST,
        Port(name="data", kind=RepositoryKind.DATASET, role=LineageRole.EVALUATED_ON, description="Labelled pictures."),
    ),
    resources=Resources(gpus=1, memory_gib=4, time_limit_seconds=6 * 3600),
)

BENCHMARK = OperationSpec(
    name="tensorrt.benchmark",
    version=1,
    summary="Measure a TensorRT plan's latency and throughput on the kind of GPU that it was built for.",
    params=BenchmarkParams,
    implementation="zoo_tensorrt.measuring:benchmark",
    inputs=(MODEL_UNDER_TEST,),
    resources=Resources(gpus=1, memory_gib=4, time_limit_seconds=3600),
)
