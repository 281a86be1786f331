"""The part of a training split that is kept for choices."""

import numpy as np
import pytest

from tests.plugins.zoo_torch.samples import npz_digits
from zoo_sdk.errors import InvalidInput
from zoo_torch.training.held_out import held_out, without_held_out
from zoo_vision.datasets import ImageSplit, open_split


def pictures(split: ImageSplit) -> set[bytes]:
    return {np.asarray(picture).tobytes() for picture in split.source.take(range(len(split)))}


def test_the_two_parts_are_the_split_and_share_nothing(tmp_path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    kept, rest = held_out(split, 0.2), without_held_out(split, 0.2)
    assert len(kept) == round(len(split) * 0.2)
    assert len(kept) + len(rest) == len(split)
    assert pictures(kept) | pictures(rest) == pictures(split)
    assert len(pictures(kept) & pictures(rest)) == 0
    assert sorted([*kept.labels, *rest.labels]) == sorted(split.labels)


def test_pictures_keep_their_labels(tmp_path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    labels = {np.asarray(split[index]).tobytes(): split.labels[index] for index in range(len(split))}
    part = held_out(split, 0.1)
    assert all(labels[np.asarray(part[index]).tobytes()] == part.labels[index] for index in range(len(part)))
    assert part.sample_shape == split.sample_shape


def test_nothing_to_hold_out_is_refused(tmp_path) -> None:
    split = open_split(npz_digits(tmp_path), "train")
    with pytest.raises(InvalidInput, match="too small to hold out"):
        held_out(split, 0.0001)
