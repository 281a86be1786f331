"""Parameters of pruning, without importing any framework."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zoo_sdk.rules import AtMost, ExactlyOne, Excludes, Requires, Rule
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName
from zoo_torch.training.params import TrainingParams

ImportanceName = Literal["l1", "l2", "bn_gamma", "taylor", "group_norm", "random"]
ScopeName = Literal["uniform", "global", "isomorphic", "per_layer"]
SPARSE = frozenset({"bn_gamma", "group_norm"})
"""Importances that a training can be made to push channels down for."""

LayerPattern = Annotated[str, Field(min_length=1, max_length=300)]
Ratio = Annotated[float, Field(ge=0, le=1)]
PATTERN = "A pattern is a layer's whole name, in which * stands for any text (*.conv2)."


class PruningStep(BaseModel):
    """An entry of a schedule: prune before each of these epochs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: tuple[Annotated[int, Field(ge=0, le=1000)], ...] = Field(
        min_length=1, max_length=1000, description="Epochs (from 0) before which to prune."
    )
    ratio: float = Field(ge=0, le=1, description="Share of the base's channels that goes each time.")
    method: ImportanceName | None = Field(None, description="Importance in this entry; null: that of the operation.")
    layers: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description=f"Only layers whose name matches one of these; none: all. {PATTERN}"
    )


class _SizeParams(TrainingParams):
    """How much is removed: one of these."""

    ratio: float | None = Field(None, ge=0, le=1, description="Share of the channels that goes.")
    layer_ratios: dict[LayerPattern, Ratio] = Field(
        default_factory=dict,
        max_length=1000,
        description=f"scope=per_layer: ratio by layer; the first pattern that matches counts. {PATTERN}",
    )
    target_macs: float | None = Field(
        None, gt=0, le=1e15, description="Most multiply-accumulates for one sample; up to 1: as a share of the base's."
    )
    target_parameters: float | None = Field(
        None, gt=0, le=1e13, description="Most parameters; up to 1: as a share of the base's."
    )
    target_latency_ms: float | None = Field(
        None, gt=0, le=1e6, description="Highest median latency in ms, measured in this job on its device."
    )
    target_latency: float | None = Field(
        None, gt=0, le=1, description="The same as a share of the base's latency, measured in this job too."
    )
    pruning_schedule: tuple[PruningStep, ...] = Field(
        (), max_length=1000, description="Prune while training: by epoch, each time a share of the base's channels."
    )

    @property
    def targets(self) -> dict[str, float]:
        """The target that was given, by parameter name."""
        names = ("target_macs", "target_parameters", "target_latency_ms", "target_latency")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class PruneParams(_SizeParams):
    """Parameters of ``torch.prune``."""

    method: ImportanceName = Field(
        "l1",
        description="Importance of a channel. l1, l2: norm of the filters that make it; bn_gamma: its batch "
        "normalisation's factor; taylor: first-order change of the loss without it; group_norm: norm of all its "
        "weights in all coupled layers; random: the baseline.",
    )
    scope: ScopeName = Field(
        "uniform",
        description="uniform: the ratio in each group of coupled layers; global: over all channels; isomorphic: over "
        "the channels of groups of the same structure; per_layer: by layer_ratios.",
    )
    max_ratio: float = Field(0.9, gt=0, le=1, description="Largest share of the channels that a layer may lose.")
    round_to: int = Field(1, ge=1, le=256, description="Widths are rounded to the nearest multiple of this.")
    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Modules that keep their outputs (layer1 also means all below it)."
    )
    keep_stem: bool = Field(
        default=False, description="Leave the first layer's outputs, and what is coupled with them, as they are."
    )
    importance_batches: int = Field(
        16, ge=1, le=10_000, description="method=taylor: batches of the training split whose gradients are taken."
    )
    sparse_epochs: int = Field(
        0,
        ge=0,
        le=1000,
        description="Epochs of training before pruning that push unimportant channels down (bn_gamma, group_norm).",
    )
    sparse_strength: float = Field(
        1e-4,
        gt=0,
        le=1,
        description="bn_gamma: lambda of Network Slimming's penalty lambda |gamma|; group_norm: factor of DepGraph's.",
    )
    latency_batch: int = Field(1, ge=1, le=4096, description="Samples in a batch whose latency is a target.")
    latency_seconds: float = Field(1.0, gt=0, le=600, description="Time for each measurement of latency.")
    epochs: int = Field(0, ge=0, le=1000, description="Epochs of fine-tuning after pruning; 0: none.")
    learning_rate: float = Field(0.02, gt=0, le=100, description="Peak learning rate, reached after the warm-up.")
    warmup_epochs: float = Field(0, ge=0, le=1000, description="Epochs of linear warm-up before the schedule.")
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )

    @property
    def total_epochs(self) -> int:
        """Epochs of training, before and after pruning."""
        return self.sparse_epochs + self.epochs

    RULES: ClassVar[tuple[Rule, ...]] = (
        ExactlyOne(
            fields=(
                "ratio", "layer_ratios", "target_macs", "target_parameters", "target_latency_ms", "target_latency",
                "pruning_schedule",
            )
        ),
        Requires(field="scope", values=("per_layer",), needs=("layer_ratios",)),
        Requires(field="layer_ratios", needs=("scope",), one_of=("per_layer",)),
        AtMost(field="ratio", limit="max_ratio"),
        Requires(field="sparse_epochs", needs=("method",), one_of=tuple(sorted(SPARSE))),
        Excludes(field="sparse_epochs", other="pruning_schedule"),
    )  # fmt: skip

    @model_validator(mode="after")
    def _stays_below_the_largest_ratio(self) -> Self:
        for key, value in self.layer_ratios.items():
            if value > self.max_ratio:
                raise ValueError(f"layer_ratios[{key}] ({value:g}) must not exceed max_ratio ({self.max_ratio:g})")
        return self

    @model_validator(mode="after")
    def _can_be_trained_so(self) -> Self:
        late = [epoch for step in self.pruning_schedule for epoch in step.epochs if epoch >= self.epochs]
        if late:
            raise ValueError(f"pruning_schedule names epoch {late[0]}, but there are {self.epochs} epochs (from 0)")
        return self
