"""Parameters of AutoSlim's three operations, without importing any framework."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams
from zoo_torch.training.params import StartParams, TrainingParams

TargetMacs = Annotated[int, Field(ge=1, le=10**15)]
TargetRatio = Annotated[float, Field(gt=0, lt=1)]


class SlimSupernetParams(StartParams):
    """Parameters of ``torch.slim_supernet``."""

    channel_bins: int = Field(
        12, ge=2, le=64, description="n: the widths are k/n of a layer's channels, for k from min_bins to n."
    )
    min_bins: int = Field(2, ge=1, le=63, description="The narrowest width in bins; below channel_bins.")
    round_to: int = Field(8, ge=1, le=256, description="Widths are rounded to multiples of this.")
    random_subnets: int = Field(
        2, ge=0, le=16, description="Random sub-networks per step, besides the widest and the narrowest."
    )
    held_out: float = Field(
        0.1,
        ge=0,
        le=0.9,
        description="Share of the training split that is not trained on, so that torch.slim_search can measure on it.",
    )

    @model_validator(mode="after")
    def _leaves_a_choice(self) -> Self:
        if self.min_bins >= self.channel_bins:
            raise ValueError(f"min_bins ({self.min_bins}) must be below channel_bins ({self.channel_bins})")
        if self.compile != "off":
            raise ValueError("compile must be off: a supernet has other widths in every batch")
        return self


class SlimSearchParams(OperationParams):
    """Parameters of ``torch.slim_search``."""

    target_macs: tuple[TargetMacs, ...] = Field(
        (),
        max_length=16,
        description="Multiply-accumulate operations for one sample; each target gives a sub-network, in "
        "subnet-MACS.safetensors. Or give target_ratios.",
    )
    target_ratios: tuple[TargetRatio, ...] = Field(
        (),
        max_length=16,
        description="The same as shares of the whole network's operations, in subnet-RATIOx.safetensors.",
    )
    max_channel_bins: int = Field(
        12, ge=2, le=64, description="At most so many widths per group; fewer make a shorter, coarser search."
    )
    calibration_batches: int = Field(
        8, ge=1, le=1000, description="Batches from which each candidate's batch normalisation takes its statistics."
    )
    batch_size: int = Field(128, ge=2, le=65_536, description="Samples per batch.")
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="Measure candidates on N held-out samples only; null: on all of them."
    )

    @model_validator(mode="after")
    def _has_targets(self) -> Self:
        if bool(self.target_macs) == bool(self.target_ratios):
            raise ValueError("give target_macs or target_ratios, one of them")
        # A ratio's file is named after six digits of it.
        ratios = tuple(f"{ratio:g}" for ratio in self.target_ratios)
        for name, values in (("target_macs", self.target_macs), ("target_ratios", ratios)):
            if len(values) != len(set(values)):
                raise ValueError(f"{name} names a target twice: {list(values)}")
        return self


class SlimRetrainParams(TrainingParams):
    """Parameters of ``torch.slim_retrain``."""

    target_macs: TargetMacs | None = Field(
        None, description="Which of the search's sub-networks: the one for this target. Null: see target_ratio."
    )
    target_ratio: TargetRatio | None = Field(
        None, description="The same, where the search was given target_ratios. Both null: the search has one target."
    )
    initialise: Literal["scratch", "supernet"] = Field(
        "scratch",
        description="scratch: fresh random weights, as in the paper; supernet: the leading channels of the input "
        "`supernet`.",
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if self.target_macs is not None and self.target_ratio is not None:
            raise ValueError("give target_macs or target_ratio, not both")
        return self
