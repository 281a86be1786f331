"""Transformers at another image size: the embedding of the positions is resampled to the new grid of tokens."""

from dataclasses import replace

import torch

from zoo_torch.networks.weights import Weights

POSITIONS = "pos_embed"


def at_image_size(weights: Weights, size: tuple[int, int]) -> Weights:
    """The weights for square pictures of ``size``; unchanged where the network takes that size already, or any.

    Bicubic, with the class token's own embedding kept, as Dosovitskiy et al. 2020 (arXiv 2010.11929, section 3.2) do
    to fine-tune at a higher resolution.

    Raises:
        InvalidInput: the network cannot be built for that size.

    """
    if POSITIONS not in weights.state or size[0] != size[1]:
        return weights
    # What is built here to be looked at must not change what is drawn for a fresh classifier.
    with torch.random.fork_rng(devices=[]):
        current = weights.architecture.build()
        if getattr(getattr(current, "patch_embed", None), "img_size", size) == size:
            return weights
        options = {**weights.architecture.options, "img_size": size[0]}
        architecture = weights.architecture.model_copy(update={"options": options})
        wanted = architecture.build()
    # Takes as long to import as torch itself; a network with such an embedding has imported it already.
    from timm.layers import resample_abs_pos_embed

    prefix = 0 if getattr(wanted, "no_embed_class", False) else int(getattr(wanted, "num_prefix_tokens", 1))
    grid = list(wanted.patch_embed.grid_size)  # type: ignore[union-attr, arg-type]
    resampled = resample_abs_pos_embed(weights.state[POSITIONS], new_size=grid, num_prefix_tokens=prefix)
    return replace(weights, architecture=architecture, state={**weights.state, POSITIONS: resampled})
