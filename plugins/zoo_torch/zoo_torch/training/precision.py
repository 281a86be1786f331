"""Mixed precision: in which number format a network computes, and the scaling of the loss that float16 needs."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from zoo_torch.devices import computes_bfloat16
from zoo_torch.training.params import ComputationParams


@dataclass(frozen=True)
class MixedPrecision:
    """``dtype`` None: float32 throughout.

    ``scaler`` does nothing unless the format is float16, whose small gradients would become 0 (Micikevicius et al.
    2017, arXiv 1710.03740, section 3.2).
    """

    device: torch.device
    dtype: torch.dtype | None
    scaler: torch.amp.GradScaler

    @classmethod
    def of(cls, params: ComputationParams, device: torch.device) -> "MixedPrecision":
        """As ``mixed_precision`` asks."""
        asked = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}
        auto = torch.bfloat16 if computes_bfloat16(device) else None
        dtype = auto if params.mixed_precision == "auto" else asked[params.mixed_precision]
        return cls(device, dtype, torch.amp.GradScaler(device.type, enabled=dtype is torch.float16))

    def autocast(self) -> AbstractContextManager[object]:
        """Around a forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)
