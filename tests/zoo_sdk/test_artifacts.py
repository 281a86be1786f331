"""Descriptions of artifacts and data sets."""

from typing import Any

import pytest
from pydantic import ValidationError

from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription, Preprocessing, Signature, TensorSpec


def test_a_description_survives_json() -> None:
    description = ArtifactDescription(
        format="onnx",
        files=("model.onnx",),
        signature=Signature(
            inputs=(TensorSpec(name="input", shape=(None, 3, 8, 8)),), outputs=(TensorSpec(name="y", shape=(None, 2)),)
        ),
        preprocessing=Preprocessing(crop=(8, 8), mean=(0.1, 0.2, 0.3), std=(1, 1, 1)),
    )
    assert ArtifactDescription.model_validate_json(description.model_dump_json()) == description


@pytest.mark.parametrize("path", ["../x", "/x", "a\0b", ""])
def test_a_dangerous_file_path_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="path"):
        ArtifactDescription(format="onnx", files=(path,))


@pytest.mark.parametrize(
    "change",
    [{"format": "onxx"}, {"files": ()}, {"precision": "int9"}, {"surprise": 1}, {"name": ""}, {"name": "a" * 101}],
)
def test_a_wrong_field_of_an_artifact_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ArtifactDescription.model_validate({"format": "onnx", "files": ("model.onnx",), **change})


@pytest.mark.parametrize(
    "change",
    [{"mean": (0.1, 0.2)}, {"std": (1.0, 0.0, 1.0)}, {"channels": 2}, {"scale": 0}, {"crop": (0, 8)}, {"resize": 0}],
)
def test_a_wrong_field_of_a_preprocessing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({"crop": (8, 8), **change})


def test_a_data_set_needs_two_classes_and_a_split() -> None:
    good = {"format": "npz", "classes": ("a", "b"), "splits": {"train": {"archive": "a.npz"}}}
    DatasetDescription.model_validate(good)
    for change in ({"classes": ("a",)}, {"splits": {}}, {"format": "csv"}, {"task": "detection"}):
        with pytest.raises(ValidationError):
            DatasetDescription.model_validate({**good, **change})
