"""Decodes folders of images (one sub-folder per class) one picture at a time, within bounds."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from zoo_sdk.errors import InvalidInput

MAX_PIXELS = 64_000_000
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_DECODERS = ("PNG", "JPEG", "BMP", "WEBP")
_GREY_MODES = frozenset({"1", "L", "LA"})


@dataclass(frozen=True)
class FolderPictures:
    """The pictures of one split as files, decoded on demand."""

    files: tuple[Path, ...]
    in_memory: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """The pictures at ``indices``, each (H, W) grey or (H, W, 3) RGB."""
        return [decode(self.files[index]) for index in indices]

    def shapes(self) -> set[tuple[int, int, int]]:
        """The different (height, width, channels) that occur; reads headers only, and each at most once.

        It stops when heights and widths differ and there is colour: a folder may hold millions of pictures, and more of
        them tell nothing new about what a network needs.
        """
        return self._shapes

    @cached_property
    def _shapes(self) -> set[tuple[int, int, int]]:
        found: set[tuple[int, int, int]] = set()
        heights, widths, has_colour = set(), set(), False
        for file in self.files:
            with _opened(file) as picture:
                is_grey = picture.mode in _GREY_MODES
                found.add((picture.height, picture.width, 1 if is_grey else 3))
                heights.add(picture.height)
                widths.add(picture.width)
                has_colour = has_colour or not is_grey
            if has_colour and min(len(heights), len(widths)) > 1:
                break
        return found


def list_pictures(folder: Path, classes: Sequence[str]) -> tuple[FolderPictures, NDArray[np.int64]]:
    """The pictures below ``folder/<class>/`` and their labels, in the order of ``classes`` and of the file names.

    Raises:
        InvalidInput: no such folder, a sub-folder that is no class, a file that is no picture, or nothing at all.

    """
    if not folder.is_dir():
        raise InvalidInput(
            f"The data set has no folder {folder.name!r}.", hint="Name an existing folder in its splits."
        )
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    strangers = [entry.name for entry in entries if entry.name not in classes or not entry.is_dir()]
    if strangers:
        raise InvalidInput(
            f"The folder {folder.name!r} holds {', '.join(strangers[:5])}: not a folder of one of the classes.",
            hint="Name every class in the data set's description and keep nothing but class folders there.",
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _pictures_of_class(folder / name)
        files += found
        labels += [label] * len(found)
    if not files:
        raise InvalidInput(
            f"The folder {folder.name!r} holds no picture.", hint=f"Allowed: {', '.join(sorted(SUFFIXES))}."
        )
    return FolderPictures(tuple(files)), np.asarray(labels, dtype=np.int64)


def _pictures_of_class(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []  # a split need not hold every class: twenty photographs of a thousand classes are a split
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise InvalidInput(
                f"{folder.name}/{file.name} is not a picture of a known kind.",
                hint=f"Remove it or convert it; allowed: {', '.join(sorted(SUFFIXES))}.",
            )
    return files


def decode(path: Path) -> NDArray[np.uint8]:
    """One picture as uint8, (H, W) grey or (H, W, 3) RGB; transparency is dropped."""
    with _opened(path) as picture:
        try:
            return np.asarray(picture.convert("L" if picture.mode in _GREY_MODES else "RGB"), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise _invalid(path, f"cannot be decoded ({error})") from error


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow only warns about pictures somewhat too large; our own limit below is firm.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=_DECODERS)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise _invalid(path, f"cannot be opened ({error})") from error
    if picture.width * picture.height > MAX_PIXELS:
        size = f"{picture.width} x {picture.height}"
        picture.close()
        raise _invalid(path, f"claims {size} pixels, more than the limit of {MAX_PIXELS:,}")
    return picture


def _invalid(path: Path, fault: str) -> InvalidInput:
    name = f"{path.parent.name}/{path.name}"
    return InvalidInput(
        f"The picture {name} {fault}.",
        hint="Remove or replace it and register the data set again.",
        facts={"file": name},
    )
