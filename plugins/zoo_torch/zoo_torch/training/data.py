"""Opens the pictures that an operation reads and settles how they become input tensors."""

import numpy as np

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.errors import InvalidInput
from zoo_torch.training.params import TrainingParams
from zoo_torch.training.trainer import TrainingData
from zoo_vision.agreement import check_pictures_fit
from zoo_vision.datasets import ImageSplit, open_split
from zoo_vision.preprocessing import for_images, native_preprocessing, prepare

STATISTICS_SAMPLE = 512


def open_training_data(inputs: Inputs, params: TrainingParams, preprocessing: Preprocessing | None) -> TrainingData:
    """The training and the test split of the input ``data``.

    Args:
        inputs: has the data set at the port ``data``.
        params: names the splits and, if wanted, the image size.
        preprocessing: that of a network to go on from; None: derived from the training split.

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
    chosen = preprocessing or _derived_preprocessing(train, params.image_size)
    for split in (train, test):
        check_pictures_fit(split, chosen)
    return TrainingData(train, test, chosen)


def _derived_preprocessing(split: ImageSplit, image_size: int | None) -> Preprocessing:
    """Own size or ``image_size``, with mean and standard deviation of the split's pixels."""
    if image_size is None:
        return native_preprocessing(split)
    plain = Preprocessing(
        channels=3 if split.sample_shape[2] == 3 else 1,
        resize=image_size,
        crop=(image_size, image_size),
        scale=1,
        layout="NHWC",
    )
    pixels = prepare(split.source.take(split.random_indices(STATISTICS_SAMPLE, 0)), plain).astype(np.uint8)
    return for_images(pixels).model_copy(update={"resize": image_size})


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
