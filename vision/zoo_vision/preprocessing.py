"""From stored pixels to a model's input tensor, exactly as :class:`zoo_sdk.artifacts.Preprocessing` says."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.errors import InvalidInput

if TYPE_CHECKING:
    from zoo_vision.datasets import ImageSplit

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
STATISTICS_SAMPLE = 4096
_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_LUMA = (19595, 38470, 7471)
"""ITU-R 601-2 luma in 16-bit fixed point: what Pillow's ``convert("L")`` computes."""


def prepare(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], preprocessing: Preprocessing
) -> NDArray[np.float32]:
    """Input tensors for ``images``.

    Args:
        images: uint8, (N, H, W) or (N, H, W, C), or a sequence of (H, W) and (H, W, C) of any sizes; C is 1 or 3 (RGB).
        preprocessing: what to do; see there for the order.

    Returns:
        float32 (N, C, H, W) or (N, H, W, C), contiguous.

    Raises:
        InvalidInput: a picture has another number of channels, or is smaller than the crop.

    """
    if isinstance(images, np.ndarray) and preprocessing.resize is None:
        return _normalised(_with_channels(_cropped(images, preprocessing.crop), preprocessing), preprocessing)
    pictures = [_cropped(_resized(image, preprocessing)[None], preprocessing.crop) for image in images]
    coloured = [_with_channels(picture, preprocessing) for picture in pictures]
    height, width = preprocessing.crop
    empty = np.empty((0, height, width, preprocessing.channels), dtype=np.uint8)
    return _normalised(np.concatenate(coloured) if coloured else empty, preprocessing)


def for_images(
    images: NDArray[np.uint8],
    *,
    scale: float = 1 / 255,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
) -> Preprocessing:
    """The preprocessing for a net trained on ``images`` (N, H, W[, C]) in their own size.

    ``mean`` and ``std`` default to those of the scaled pixels per channel, rounded to four digits.
    """
    pixels = images.reshape(*images.shape[:3], -1)
    moments = [_moments(pixels[..., channel]) for channel in range(pixels.shape[-1])]
    computed_mean = tuple(round(average * scale, 4) for average, _ in moments)
    # A constant channel has no spread to divide by.
    computed_std = tuple(round(spread * scale, 4) or 1.0 for _, spread in moments)
    return Preprocessing(
        channels=3 if pixels.shape[-1] == 3 else 1,
        crop=(images.shape[1], images.shape[2]),
        scale=scale,
        mean=computed_mean if mean is None else mean,
        std=computed_std if std is None else std,
        layout=layout,
    )


def _moments(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and standard deviation, from a histogram so that no copy of the pixels in floating point is made."""
    shares = np.bincount(pixels.reshape(-1), minlength=256) / pixels.size
    values = np.arange(256)
    average = float((shares * values).sum())
    return average, float(np.sqrt((shares * (values - average) ** 2).sum()))


def native_preprocessing(split: "ImageSplit") -> Preprocessing:
    """:func:`for_images` on up to 4096 pictures spread evenly over the split; always the same for the same split.

    Raises:
        InvalidInput: the pictures have different sizes.

    """
    height, width, channels = split.sample_shape
    if height is None or width is None:
        raise InvalidInput(
            f"The pictures of the split {split.name!r} have different sizes, so there is no native preprocessing.",
            hint="Give a preprocessing with resize and crop.",
        )
    indices = np.unique(np.linspace(0, len(split) - 1, num=min(len(split), STATISTICS_SAMPLE)).astype(np.int64))
    plain = Preprocessing(channels=3 if channels == 3 else 1, crop=(height, width))
    pictures = [_with_channels(split[index][None], plain) for index in indices]
    return for_images(np.concatenate(pictures))


def _resized(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    target = preprocessing.resize
    if target is None or min(image.shape[:2]) == target:
        return image
    return resized_to(image, _size_for(image, target), preprocessing.interpolation)


def _size_for(image: NDArray[np.uint8], shorter_side: int) -> tuple[int, int]:
    """The shorter side becomes ``shorter_side``, the longer one is rounded down (as torchvision does)."""
    height, width = image.shape[:2]
    if width <= height:
        return int(shorter_side * height / width), shorter_side
    return shorter_side, int(shorter_side * width / height)


def resized_to(image: NDArray[np.uint8], size: tuple[int, int], interpolation: Interpolation) -> NDArray[np.uint8]:
    """One picture, (H, W) or (H, W, C), as (height, width[, C]) of ``size``; Pillow's filters, which antialias."""
    if image.shape[:2] == size:
        return image
    flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    picture = Image.fromarray(np.ascontiguousarray(flat)).resize(size[::-1], _INTERPOLATIONS[interpolation])
    return np.asarray(picture, dtype=np.uint8).reshape(*size, *image.shape[2:])


def reduced(image: NDArray[np.uint8], shorter_side: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """One picture with its shorter side at most ``shorter_side``, resized as a preprocessing does it."""
    if min(image.shape[:2]) <= shorter_side:
        return image
    return resized_to(image, _size_for(image, shorter_side), interpolation)


def _cropped(images: NDArray[np.uint8], crop: tuple[int, int]) -> NDArray[np.uint8]:
    """The centre (as torchvision rounds it) of (N, H, W[, C])."""
    height, width = images.shape[1:3]
    if height < crop[0] or width < crop[1]:
        raise InvalidInput(
            f"A picture of {height} x {width} pixels is smaller than the model's input of {crop[0]} x {crop[1]}.",
            hint="Use a preprocessing with a resize of at least the crop.",
        )
    top, left = round((height - crop[0]) / 2), round((width - crop[1]) / 2)
    return images[:, top : top + crop[0], left : left + crop[1]]


def _with_channels(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """(N, H, W[, C]) to (N, H, W, channels) in the wanted order."""
    pixels = images[..., None] if images.ndim == 3 else images
    if pixels.shape[3] not in {1, 3}:
        raise InvalidInput(f"A picture has {pixels.shape[3]} channels.", hint="Grey (1) and RGB (3) pictures are read.")
    if pixels.shape[3] == preprocessing.channels:
        return pixels[..., ::-1] if preprocessing.channel_order == "bgr" else pixels
    if preprocessing.channels == 3:
        return np.broadcast_to(pixels, (*pixels.shape[:3], 3))
    red, green, blue = (pixels[..., channel].astype(np.uint32) * weight for channel, weight in enumerate(_LUMA))
    return ((red + green + blue + 0x8000) >> 16).astype(np.uint8)[..., None]


def _normalised(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(N, H, W, C) uint8 to float32 in the layout.

    A pixel has 256 values, so scale, mean and std are applied once to each of them in a table: the same float32
    arithmetic as on the whole array, bit for bit, at the cost of one look-up.
    """
    count, height, width, channels = pixels.shape
    planar = preprocessing.layout == "NCHW"
    shape = (count, channels, height, width) if planar else (count, height, width, channels)
    result = np.empty(shape, dtype=np.float32)
    values = np.arange(256, dtype=np.float32) * np.float32(preprocessing.scale)
    for channel in range(channels):
        mean = np.float32(preprocessing.mean[channel if len(preprocessing.mean) > 1 else 0])
        std = np.float32(preprocessing.std[channel if len(preprocessing.std) > 1 else 0])
        table = (values - mean) / std
        target = result[:, channel] if planar else result[..., channel]
        target[...] = table[pixels[..., channel]]
    return result


def random_inputs(preprocessing: Preprocessing, count: int, seed: int) -> NDArray[np.float32]:
    """``count`` input tensors made of random pixels, so in the range of real inputs; the same for the same seed."""
    shape = (count, *preprocessing.crop, preprocessing.channels)
    pixels = np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)
    return prepare(pixels, preprocessing.model_copy(update={"resize": None}))
