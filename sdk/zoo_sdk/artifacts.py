"""What an artifact is: its format, precision, runtime, signature and preprocessing."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from zoo_sdk.formats import find_format
from zoo_sdk.names import Digest, checked_path
from zoo_sdk.vocabulary import Precision


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Record):
    """One input or output: name, dtype, shape (None = dynamic) and layout, for example ``NCHW``."""

    name: str = Field(min_length=1, max_length=200)
    dtype: str = Field("float32", max_length=20)
    shape: tuple[int | None, ...] = Field(max_length=8)
    layout: str = Field("", max_length=8)


class Signature(_Record):
    """The inputs and outputs of a model."""

    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=32)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=32)


class Preprocessing(_Record):
    """How a picture becomes the model's input tensor, in this order.

    1. to ``channels`` channels in ``channel_order``; 2. shorter side to ``resize`` pixels (None: as it is), then centre
    crop to ``crop`` (height, width); 3. ``x = pixel * scale``; 4. ``x = (x - mean) / std`` per channel; 5. ``layout``.

    ``scale``: ``1/255`` for inputs in 0..1, ``1`` for raw 0..255 input.  ``label_offset`` is added to a data set's
    label to get the model's class index (1 for networks with a background class at 0).
    """

    channels: Literal[1, 3] = 3
    channel_order: Literal["rgb", "bgr"] = "rgb"
    resize: int | None = Field(None, ge=1, le=8192)
    crop: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    scale: float = Field(1 / 255, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    label_offset: int = Field(0, ge=0, le=1)

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in {1, self.channels}:
                raise ValueError(f"{name} must have 1 or {self.channels} values, one per channel")
        return self


class ArtifactDescription(_Record):
    """One artifact of a version: the files that are it, and how to use it.

    ``files`` are paths inside the version, the main file first (OpenVINO IR: ``model.xml``, then ``model.bin``).
    ``details`` holds facts of the format: opset, producer, architecture, class names ...
    """

    name: str = Field("model", min_length=1, max_length=100)
    format: str
    files: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    precision: Precision | None = None
    runtime: str | None = Field(None, max_length=40)
    signature: Signature | None = None
    preprocessing: Preprocessing | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        try:
            return find_format(value).name
        except Exception as error:
            raise ValueError(str(error)) from error

    @field_validator("files")
    @classmethod
    def _safe_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(checked_path(path) for path in value)
        except Exception as error:
            raise ValueError(str(error)) from error


class DatasetDescription(_Record):
    """What a data set is: task, classes and the files of each split.

    ``splits`` maps a split to its files by part: for IDX ``{"train": {"images": path, "labels": path}}``; for npz
    ``{"train": {"archive": path, "images": array name, "labels": array name}}``; for an image folder
    ``{"train": {"folder": prefix}}`` (below it one folder per class).
    """

    format: Literal["idx", "npz", "image-folder"]
    task: Literal["image-classification"] = "image-classification"
    classes: tuple[str, ...] = Field(min_length=2, max_length=100_000)
    splits: dict[str, dict[str, str]] = Field(min_length=1)


class FileEntry(_Record):
    """A file of a version: path, digest and size in bytes."""

    path: str
    sha256: Digest
    size: int = Field(ge=0)
