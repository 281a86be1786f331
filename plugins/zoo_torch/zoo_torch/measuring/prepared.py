"""Some pictures of a split as input tensors, for measuring many networks on the same ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.training.batches import as_inputs
from zoo_vision.datasets import ImageSplit
from zoo_vision.scoring import ClassificationScore

MAX_CACHED_BYTES = 2**30
"""More pictures than that are prepared anew each time."""


@dataclass
class PreparedPictures:
    """Pictures at ``positions`` of a split, through one preprocessing; kept on the device if they are few."""

    split: ImageSplit
    positions: NDArray[np.int64]
    preprocessing: Preprocessing
    device: torch.device
    batch_size: int
    _kept: list[tuple[Tensor, NDArray[np.int64]]] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        return len(self.positions)

    def batches(self) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
        """Inputs (batch, C, H, W) with labels as the network numbers them, always in the same order."""
        if self._kept:
            yield from self._kept
            return
        made = []
        keep = len(self) * self.preprocessing.channels * np.prod(self.preprocessing.crop) * 4 <= MAX_CACHED_BYTES
        for start in range(0, len(self), self.batch_size):
            part = self.positions[start : start + self.batch_size]
            inputs = as_inputs(self.split.source.take(part), self.preprocessing, self.device)
            batch = (inputs, self.split.labels[part] + self.preprocessing.label_offset)
            made += [batch] if keep else []
            yield batch
        self._kept = made

    def inputs(self, before_batch: Callable[[], None]) -> Iterator[Tensor]:
        """The inputs alone; ``before_batch`` may raise to stop."""
        for inputs, _labels in self.batches():
            before_batch()
            yield inputs

    def score(self, network: nn.Module, before_batch: Callable[[], None]) -> ClassificationScore:
        """Top-1, top-5 and loss of ``network``, which is put in evaluation mode; ``before_batch`` may raise to stop."""
        network.eval()
        score = ClassificationScore()
        with torch.inference_mode():
            for inputs, labels in self.batches():
                before_batch()
                score.update(network(inputs).float().cpu().numpy(), labels)
        return score
