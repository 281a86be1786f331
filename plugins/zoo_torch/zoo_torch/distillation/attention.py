"""Attention transfer: where a layer is active, whatever the number of its channels."""

import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor


def attention_map(feature: Tensor) -> Tensor:
    """Mean over the channels of the squared activations, flattened and scaled to length 1: (batch, positions).

    Zagoruyko and Komodakis: Paying More Attention to Attention, ICLR 2017 (arXiv 1612.03928), section 3.1: F_sum^2, and
    Q / ||Q||_2 of equation 2 (a sum and a mean over channels differ by a factor that the scaling removes).

    Args:
        feature: a map (batch, C, H, W) or tokens (batch, N, D).

    """
    channels = 1 if feature.ndim == 4 else 2
    return F.normalize(feature.float().square().mean(dim=channels).flatten(1), dim=1)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared difference of two attention maps; a scalar.

    Zagoruyko and Komodakis 2017 (arXiv 1612.03928), equation 2 with p = 2 and without beta, which the authors set to
    1000 divided by the number of elements of the maps in the batch: that division is the mean here.

    Args:
        student: (batch, C, H, W) or (batch, N, D).
        teacher: as many positions; its number of channels may differ.

    """
    return 0.5 * F.mse_loss(attention_map(student), attention_map(teacher))
