"""Parameters that the operations of several plugins share; importing it imports no framework, and no numpy."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams

MAX_POINTS = 64
BatchSize = Annotated[int, Field(ge=1, le=4096)]
Threads = Annotated[int, Field(ge=1, le=1024)]


class EvaluateParams(OperationParams):
    """What to evaluate on."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set to evaluate on.")
    limit: int | None = Field(
        None, ge=1, le=10**9, description="Evaluate so many samples, evenly spread over the split; all by default."
    )


class BatchedEvaluateParams(EvaluateParams):
    """What to evaluate on, with a model whose batch may be chosen."""

    batch: int = Field(64, ge=1, le=4096, description="Samples in a batch; a model with a fixed batch uses its own.")


class ParityParams(OperationParams):
    """The check that a converted model computes what its source computes."""

    parity_split: str = Field("test", min_length=1, max_length=100, description="Split that the parity check reads.")
    parity_samples: int = Field(256, ge=1, le=100_000, description="Samples that the parity check compares.")
    max_abs_diff: float | None = Field(
        None,
        ge=0,
        le=1e9,
        description="Largest allowed difference of an output; by default 1e-4 (fp32) or 1e-2 (fp16) of the largest "
        "output, or of 1 if all are smaller.",
    )
    min_agreement: float = Field(99.0, ge=0, le=100, description="Smallest allowed agreement of the top class, in %.")


class TimingParams(OperationParams):
    """What to time a model of one batch with: one number of threads, or several in the same job."""

    threads: Threads | None = Field(None, description="Threads; by default all that the worker gives.")
    thread_counts: tuple[Threads, ...] = Field(
        (), max_length=16, description="Further numbers of threads to measure, each with every batch."
    )
    seconds: float = Field(5.0, gt=0, le=600, description="Time to measure each point for.")
    warmup: int = Field(10, ge=0, le=10_000, description="Runs of each point before the clock starts.")


class BenchmarkParams(TimingParams):
    """What to time: one point (batch, threads), or every combination of several batches and numbers of threads."""

    batch: BatchSize = Field(1, description="Samples in a batch; single figures of the model are those of this one.")
    batches: tuple[BatchSize, ...] = Field((), max_length=16, description="Further batches to measure in the same job.")

    @model_validator(mode="after")
    def _are_not_too_many(self) -> Self:
        points = len(self.every_batch) * (1 + len(set(self.thread_counts)))
        if points > MAX_POINTS:
            raise ValueError(f"batches and thread_counts make {points} points, more than {MAX_POINTS}")
        return self

    @property
    def every_batch(self) -> tuple[int, ...]:
        """Each once, the main one first."""
        return tuple(dict.fromkeys((self.batch, *self.batches)))
