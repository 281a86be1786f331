"""Parameters of ``torch.mixed_precision``, without importing any framework."""

from typing import Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams
from zoo_torch.quantization.scheme import Bits

RestoredTo = Bits | Literal["float"]


class MixedPrecisionParams(OperationParams):
    """Parameters of ``torch.mixed_precision``."""

    weight_bits: int = Field(8, ge=2, le=8, description="Bits of the weights, before layers are restored.")
    activation_bits: int = Field(8, ge=2, le=8, description="Bits of the activations, before layers are restored.")
    per_channel: bool = Field(
        default=True, description="One step of the weights for each output channel, not one for the whole tensor."
    )
    first_last_bits: int = Field(8, ge=2, le=8, description="Bits of the first and the last layer.")
    metric: Literal["top1", "loss"] = Field(
        "top1", description="What ranks the layers and decides: top1 in percent, or the mean cross-entropy."
    )
    max_drop: float = Field(
        1.0,
        ge=0,
        le=100,
        description="How much worse than the float network the result may be: points of top1 (1.0 = one percent of "
        "the pictures), or nats of loss.",
    )
    restore_to: tuple[RestoredTo, ...] = Field(
        ("float",),
        min_length=1,
        max_length=8,
        description="What layers are restored to: bits, ascending, or float. Each entry is tried for all layers, the "
        "most sensitive first, before the next.",
    )
    limit_samples: int = Field(
        2000, ge=2, le=10**9, description="Pictures of the training split on which every network is measured."
    )
    calibration_samples: int = Field(
        512, ge=1, le=10**6, description="Other pictures of it, from which the activations' steps are computed."
    )
    batch_size: int = Field(128, ge=1, le=65_536, description="Samples per batch.")
    train_split: str = Field(
        "train",
        min_length=1,
        max_length=100,
        description="Split on which layers are ranked and chosen; one that the network did not learn from tells more.",
    )
    test_split: str = Field(
        "test", min_length=1, max_length=100, description="Split that the result and the float network are measured on."
    )
    limit_test_samples: int | None = Field(
        None, ge=1, le=10**9, description="Test on N samples evenly spread over the split; null: on all."
    )

    @model_validator(mode="after")
    def _restores_upwards(self) -> Self:
        bits = [level for level in self.restore_to if level != "float"]
        if bits != sorted(set(bits)) or "float" in self.restore_to[:-1]:
            raise ValueError(f"restore_to must ascend, with float last, not {list(self.restore_to)}")
        if self.train_split == self.test_split:
            raise ValueError(
                f"train_split and test_split are both {self.train_split!r}: choices need their own pictures"
            )
        return self
