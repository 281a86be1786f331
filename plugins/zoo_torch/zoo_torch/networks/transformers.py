"""Small vision transformers: timm's own class, narrow and with small patches."""

from collections.abc import Callable

from torch import nn

from zoo_sdk.errors import InvalidInput

LARGE_IMAGE = 16
"""From here on a patch is 4 x 4 pixels, below 2 x 2: at least 4 x 4 tokens."""


def vision_transformer(width: int, depth: int, heads: int) -> Callable[[int, int, int], nn.Module]:
    """Dosovitskiy et al. 2020 (arXiv 2010.11929), with a class token; the patches make a square grid.

    timm's class offers ``forward_intermediates`` and names its layers as the large ones do, so that every method that
    works for ``timm:vit_*`` works here.  Raises :class:`InvalidInput` for a size that is no multiple of the patch.
    """

    def build(in_chans: int, num_classes: int, image_size: int) -> nn.Module:
        # Takes as long to import as torch itself, and our other networks do without it.
        from timm.models.vision_transformer import VisionTransformer

        patch = 4 if image_size >= LARGE_IMAGE else 2
        if image_size % patch:
            raise InvalidInput(
                f"A picture of {image_size} x {image_size} pixels cannot be cut into patches of {patch} x {patch}.",
                hint=f"Give an image_size that is a multiple of {patch}.",
                facts={"field": "image_size"},
            )
        network: nn.Module = VisionTransformer(
            img_size=image_size,
            patch_size=patch,
            in_chans=in_chans,
            num_classes=num_classes,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
        )
        network.default_cfg = {"classifier": "head"}  # type: ignore[assignment]
        return network

    return build
