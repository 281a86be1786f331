"""Opens the pictures that an operation reads and settles how they become input tensors."""

from typing import Any

import numpy as np
from pydantic import ValidationError

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.errors import InvalidInput
from zoo_torch.training.params import DataParams, TrainingParams
from zoo_torch.training.trainer import TrainingData
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.preprocessing import for_images, prepare

ARRAY_SAMPLE = 4096
FILE_SAMPLE = 512
"""Pictures from which mean and standard deviation are measured."""


def open_training_data(inputs: Inputs, params: TrainingParams, preprocessing: Preprocessing | None) -> TrainingData:
    """The training and the test split of the input ``data``.

    Args:
        inputs: has the data set at the port ``data``.
        params: names the splits and, if wanted, parts of the preprocessing.
        preprocessing: that of a network to go on from; None: derived from the training split.  What ``params`` say goes
            before either.

    Raises:
        InvalidInput: the pictures cannot be turned into such inputs, or the test split would be the training split.

    """
    if params.train_split == params.test_split:
        raise InvalidInput(
            f"train_split and test_split are both {params.train_split!r}: it would be measured on what it learnt.",
            hint="Register the data set with a split of its own for the test.",
            facts={"field": "test_split"},
        )
    item = inputs.one("data")
    train, test = open_split(item, params.train_split), open_split(item, params.test_split)
    chosen = settle_preprocessing(train, params, preprocessing)
    for split in (train, test):
        check_pictures_fit(split, chosen)
    return TrainingData(train, test, chosen)


def settle_preprocessing(split: ImageSplit, params: DataParams, inherited: Preprocessing | None) -> Preprocessing:
    """What ``params`` say, else what was inherited, else what follows from the pictures of ``split``.

    A mean or standard deviation is measured on the scaled pixels where neither says it, and where the scale changes.

    Raises:
        InvalidInput: the parts do not fit together.

    """
    size = params.image_size or params.resize
    if inherited is None:
        framing = _own_framing(split) if size is None else {"crop": (size, size), "resize": params.resize or size}
        channels = 3 if split.sample_shape[2] == 3 else 1
        base = {"channels": channels, "interpolation": "bilinear", "scale": 1 / 255, "label_offset": 0, **framing}
    else:
        base = inherited.model_dump()
        if params.image_size is not None:
            base |= {"crop": (params.image_size, params.image_size), "resize": params.resize or params.image_size}
    asked = {
        "resize": params.resize,
        "interpolation": params.interpolation,
        "scale": params.input_scale,
        "label_offset": params.label_offset,
        "mean": params.mean,
        "std": params.std,
    }
    settled = base | {name: value for name, value in asked.items() if value is not None}
    rescaled = inherited is not None and settled["scale"] != inherited.scale
    if inherited is None or (rescaled and None in {params.mean, params.std}):
        settled = _measured(split, settled) | {name: asked[name] for name in ("mean", "std") if asked[name] is not None}
    return _checked(settled)


def _own_framing(split: ImageSplit) -> dict[str, Any]:
    height, width, _ = split.sample_shape
    if height is None or width is None:
        raise InvalidInput(
            f"The pictures of the split {split.name!r} have different sizes.",
            hint="Give an image_size, to which they are resized and cropped.",
            facts={"field": "image_size"},
        )
    return {"crop": (height, width), "resize": None}


def _measured(split: ImageSplit, settled: dict[str, Any]) -> dict[str, Any]:
    """With mean and standard deviation of the scaled pixels of a sample, as the network would see them."""
    plain = _checked({**settled, "scale": 1.0, "mean": (0.0,), "std": (1.0,), "layout": "NHWC"})
    count = ARRAY_SAMPLE if split.source.in_memory else FILE_SAMPLE
    positions = np.unique(np.linspace(0, len(split) - 1, num=min(len(split), count)).astype(np.int64))
    pixels = prepare(split.source.take(positions), plain).astype(np.uint8)
    found = for_images(pixels, scale=settled["scale"])
    return {**settled, "mean": found.mean, "std": found.std}


def _checked(values: dict[str, Any]) -> Preprocessing:
    try:
        made = Preprocessing.model_validate(values)
    except ValidationError as error:
        reason = "; ".join(item["msg"] for item in error.errors())
        raise InvalidInput(f"This preprocessing is impossible: {reason}.", facts={"field": "mean"}) from error
    if made.resize is not None and made.resize < max(made.crop):
        raise InvalidInput(
            f"resize {made.resize} is below the network's input of {made.crop[0]} x {made.crop[1]}.",
            hint="Give a larger resize, or an image_size too.",
            facts={"field": "resize"},
        )
    return made


def model_preprocessing(item: InputItem) -> Preprocessing | None:
    """The preprocessing that a model's artifact declares, if any.

    Raises:
        InvalidInput: it is for channels-last inputs, which no PyTorch network of ours takes.

    """
    declared = item.artifact.preprocessing if item.artifact else None
    if declared is not None and declared.layout != "NCHW":
        raise InvalidInput(
            f"The preprocessing of {item.reference} makes {declared.layout} inputs; PyTorch weights take NCHW.",
            hint="Correct the artifact's description.",
        )
    return declared


def check_channels(reference: str, in_chans: int, preprocessing: Preprocessing) -> None:
    """Raise :class:`InvalidInput` where a network takes another number of channels than it would get."""
    if in_chans != preprocessing.channels:
        raise InvalidInput(
            f"{reference} takes {in_chans} channels, but its inputs would have {preprocessing.channels}.",
            hint="Give a data set with as many channels, or correct the artifact's preprocessing.",
        )
