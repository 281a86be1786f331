"""Does this model fit this data set?  Asked before the work starts, so that a mismatch never ends in half a result."""

from collections.abc import Sequence

from zoo_sdk.artifacts import Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput
from zoo_vision.datasets import ImageSplit


def preprocessing_of(item: InputItem) -> Preprocessing:
    """The preprocessing of a model input; raises :class:`InvalidInput` when its artifact has none."""
    if item.artifact is None or item.artifact.preprocessing is None:
        raise InvalidInput(
            f"{item.reference} does not say how a picture becomes its input.",
            hint="Push the version again with `preprocessing` in the artifact's description "
            "(channels, crop, scale, mean, std, layout).",
            facts={"field": "preprocessing"},
        )
    return item.artifact.preprocessing


def check_input_fits(reference: str, preprocessing: Preprocessing, shape: Sequence[int | None]) -> None:
    """Check the preprocessing against the model's own input ``shape`` (N, ...; None = dynamic).

    Raises:
        InvalidInput: another number of dimensions, of channels, or another size.

    """
    height, width = preprocessing.crop
    wanted = (
        (preprocessing.channels, height, width)
        if preprocessing.layout == "NCHW"
        else (height, width, preprocessing.channels)
    )
    fits = len(shape) == 4 and all(own in {None, size} for own, size in zip(shape[1:], wanted, strict=True))
    if not fits:
        raise InvalidInput(
            f"The input of {reference} has the shape {_shown(shape)}, but its preprocessing makes "
            f"{_shown((None, *wanted))} ({preprocessing.layout}, {preprocessing.channels} channels).",
            hint="Correct the preprocessing of the artifact (channels, crop, layout).",
            facts={"model_shape": list(shape), "preprocessed_shape": [None, *wanted]},
        )


def check_classes_fit(reference: str, split: ImageSplit, preprocessing: Preprocessing, outputs: int | None) -> None:
    """Check the number of the model's ``outputs`` (None = unknown) against the classes of the data set.

    Raises:
        InvalidInput: the model was made for another number of classes.

    """
    wanted = len(split.classes) + preprocessing.label_offset
    if outputs is not None and outputs != wanted:
        offset = f" and a label offset of {preprocessing.label_offset}" if preprocessing.label_offset else ""
        raise InvalidInput(
            f"{reference} has {outputs} outputs, but the data set has {len(split.classes)} classes{offset}.",
            hint="Give the data set that the model was made for.",
            facts={"outputs": outputs, "classes": len(split.classes)},
        )


def check_pictures_fit(split: ImageSplit, preprocessing: Preprocessing) -> None:
    """Check that the pictures are large enough to be cropped; those of mixed sizes are checked one by one later.

    Raises:
        InvalidInput: they are smaller than the crop and nothing enlarges them, or colour would silently be lost.

    """
    height, width, channels = split.sample_shape
    if channels == 3 and preprocessing.channels == 1:
        raise InvalidInput(
            f"The split {split.name!r} holds colour pictures, but the model takes one grey channel.",
            hint="Give a grey data set, or a model with three input channels.",
            facts={"dataset_channels": channels, "model_channels": preprocessing.channels},
        )
    crop = preprocessing.crop
    if preprocessing.resize is None and height and width and (height < crop[0] or width < crop[1]):
        raise InvalidInput(
            f"The pictures of the split {split.name!r} have {height} x {width} pixels, "
            f"but the model takes {crop[0]} x {crop[1]}.",
            hint="Use a model whose preprocessing resizes, or a data set of larger pictures.",
        )


def _shown(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
