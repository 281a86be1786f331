"""Random generators that follow from a seed and where in the training they are used, so that nothing needs saving."""

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """Keeps apart what is drawn for different purposes at the same place; never 0, which numpy takes for nothing."""

    ORDER = 1
    AUGMENTATION = 2
    MIXING = 3
    NETWORK = 4
    VIEW = 5


def generator_for(purpose: Purpose, *place: int) -> np.random.Generator:
    """A generator for one purpose at one place (seed, epoch ...); always the same for the same numbers."""
    return np.random.default_rng([purpose, *place])


def seed_torch(purpose: Purpose, *place: int) -> None:
    """Seed torch on all devices, likewise (dropout draws from there)."""
    torch.manual_seed(int(generator_for(purpose, *place).integers(2**63)))
