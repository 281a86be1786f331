"""Splits of registered data sets (IDX, npz, image folder) as arrays of pictures and labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo_sdk.artifacts import DatasetDescription, Preprocessing
from zoo_sdk.context import InputItem
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.names import checked_path
from zoo_vision.folders import list_pictures
from zoo_vision.idx import MAX_ARRAY_BYTES, read_idx
from zoo_vision.npz import read_npz
from zoo_vision.preprocessing import prepare

Pictures = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
Indices = Sequence[int] | NDArray[np.int64]


class PictureSource(Protocol):
    """Where a split's pictures come from.  ``in_memory``: they are arrays already, and not decoded when taken."""

    @property
    def in_memory(self) -> bool: ...

    def __len__(self) -> int: ...

    def take(self, indices: Indices) -> Pictures: ...

    def shapes(self) -> set[tuple[int, int, int]]: ...


@dataclass(frozen=True)
class ArrayPictures:
    """Pictures that are one array in memory, (N, H, W) or (N, H, W, C)."""

    array: NDArray[np.uint8]
    in_memory: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: Indices) -> Pictures:
        return self.array[np.asarray(indices, dtype=np.int64)]

    def shapes(self) -> set[tuple[int, int, int]]:
        height, width = self.array.shape[1:3]
        return {(height, width, self.array.shape[3] if self.array.ndim == 4 else 1)}


@dataclass(frozen=True)
class ImageSplit:
    """One split: ``labels`` is int64 (N,) in 0..len(classes)-1; pictures are uint8 and decoded when asked for."""

    source: PictureSource
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """One picture, (H, W) grey or (H, W, C)."""
        return self.source.take([index])[0]

    @property
    def sample_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels); None where the pictures differ; 3 channels as soon as one picture has colour."""
        shapes = self.source.shapes()
        heights, widths, channels = (set(values) for values in zip(*shapes, strict=True))
        return (
            heights.pop() if len(heights) == 1 else None,
            widths.pop() if len(widths) == 1 else None,
            max(channels),
        )

    @property
    def images(self) -> NDArray[np.uint8]:
        """All pictures as one array, (N, H, W) or (N, H, W, C); decodes a whole image folder.

        Raises:
            InvalidInput: the pictures have different shapes, or are too many for one array.

        """
        if isinstance(self.source, ArrayPictures):
            return self.source.array
        shapes = self.source.shapes()
        if len(shapes) > 1:
            raise InvalidInput(
                f"The pictures of the split {self.name!r} have {len(shapes)} different shapes, such as "
                f"{', '.join(map(str, sorted(shapes)[:3]))}.",
                hint="Read them through batches() with a preprocessing that resizes and crops.",
            )
        if (size := len(self) * int(np.prod(next(iter(shapes))))) > MAX_ARRAY_BYTES:
            raise InvalidInput(f"The split {self.name!r} decodes to {size:,} bytes.", hint="Read it through batches().")
        return np.stack(list(self.source.take(range(len(self)))))

    def random_indices(self, count: int, seed: int) -> NDArray[np.int64]:
        """``count`` different positions (all, if there are fewer), drawn with ``seed``, in ascending order."""
        order = np.random.default_rng(seed).permutation(len(self))
        return np.sort(order[:count]).astype(np.int64)

    def batches(
        self, preprocessing: Preprocessing, size: int, *, limit: int | None = None, indices: Indices | None = None
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Batches of at most ``size``: float32 in ``preprocessing.layout``, and labels with ``label_offset`` added.

        Args:
            preprocessing: how pixels become the input tensor.
            size: samples in a batch; the last one may have fewer.
            limit: at most that many samples: the first of ``indices``, else evenly spread over the split, because the
                pictures of a folder are sorted by class.
            indices: the positions to read, in this order; all by default.

        """
        if indices is None:
            chosen = np.linspace(0, len(self), min(limit or len(self), len(self)), endpoint=False).astype(np.int64)
        else:
            chosen = np.asarray(indices, dtype=np.int64)[:limit]
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            yield prepare(self.source.take(part), preprocessing), self.labels[part] + preprocessing.label_offset


def open_split(item: InputItem, split: str) -> ImageSplit:
    """Open one split of a registered data set.

    Raises:
        InvalidInput: no data set, files that are missing, damaged, too large or disagree with each other.
        UnknownName: no split of that name.

    """
    if item.dataset is None:
        raise InvalidInput(f"{item.reference} is not a data set.", hint="Give a data set version to this input.")
    if split not in item.dataset.splits:
        raise UnknownName(f"split of {item.reference}", split, item.dataset.splits)
    parts = item.dataset.splits[split]
    if item.dataset.format == "image-folder":
        prefix = _part(parts, "folder", item.dataset, split, required=False).strip("/")
        folder = item.folder / checked_path(prefix) if prefix else item.folder
        source, labels = list_pictures(folder, item.dataset.classes)
        return ImageSplit(source, labels, item.dataset.classes, split)
    images, labels = _read_arrays(item, item.dataset, split)
    _check_arrays(images, labels, item, split)
    return ImageSplit(ArrayPictures(images), labels.reshape(-1).astype(np.int64), item.dataset.classes, split)


def _read_arrays(item: InputItem, dataset: DatasetDescription, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    parts = dataset.splits[split]
    if dataset.format == "idx":
        images = read_idx(_file(item, _part(parts, "images", dataset, split)), dimensions=(3, 4))
        return images, read_idx(_file(item, _part(parts, "labels", dataset, split)), dimensions=(1,))
    archive = _file(item, _part(parts, "archive", dataset, split))
    names = [_part(parts, name, dataset, split) for name in ("images", "labels")]
    return read_npz(archive, names[0]), read_npz(archive, names[1])


def _part(parts: dict[str, str], name: str, dataset: DatasetDescription, split: str, *, required: bool = True) -> str:
    if required and not parts.get(name):
        raise InvalidInput(
            f"The split {split!r} does not name its {name!r}; a data set of the format {dataset.format} needs it.",
            hint=f"Register the data set with splits.{split}.{name}.",
        )
    return parts.get(name, "")


def _file(item: InputItem, path: str) -> Path:
    file = item.folder / checked_path(path)
    if not file.is_file():
        raise InvalidInput(f"{item.reference} has no file {path!r}, which its description names.", facts={"file": path})
    return file


def _check_arrays(images: NDArray[Any], labels: NDArray[Any], item: InputItem, split: str) -> None:
    classes = len(item.dataset.classes) if item.dataset else 0
    fault = ""
    if images.dtype != np.uint8:
        fault = f"images are {images.dtype}, not uint8 in 0..255"
    elif images.ndim not in {3, 4} or (images.ndim == 4 and images.shape[3] not in {1, 3}) or 0 in images.shape:
        fault = f"images have the shape {images.shape}, not (N, H, W), (N, H, W, 1) or (N, H, W, 3)"
    elif labels.dtype.kind not in "iu" or labels.size != max(labels.shape, default=0):
        fault = f"labels are {labels.dtype} of the shape {labels.shape}, not integers (N,)"
    elif labels.size != len(images):
        fault = f"there are {len(images)} images, but {labels.size} labels"
    elif labels.min() < 0 or labels.max() >= classes:
        fault = f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes"
    if fault:
        raise InvalidInput(
            f"The split {split!r} of {item.reference} is wrong: {fault}.",
            hint="Correct the files or the description and register the data set again.",
            facts={"split": split},
        )
