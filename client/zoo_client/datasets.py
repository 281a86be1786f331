"""Recognises a data set on disk (IDX pairs, npz archives, image folders) and describes it for the registry."""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from zoo_client.describing import LocalFile
from zoo_client.labels import MAX_LABEL_BYTES, highest_npz_label, npz_arrays
from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.errors import InvalidInput

Format = Literal["idx", "npz", "image-folder"]
Split = dict[str, str]
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SPLIT_NAMES = {"t10k": "test", "val": "validation", "valid": "validation"}
_IDX_NAME = re.compile(r"^(?:(?P<split>.+?)[-_.])?(?P<part>images|labels)[-_.]idx(?P<rank>[13])[-_.]ubyte(?:\.gz)?$")
_NPZ_PAIR = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))


def describe_dataset(
    files: Sequence[LocalFile], *, format_name: Format | None = None, classes: Sequence[str] = ()
) -> DatasetDescription:
    """Splits, files and classes of a data set.

    Args:
        files: the files that will be published.
        format_name: ``idx``, ``npz`` or ``image-folder``; None: found out by the names.
        classes: the classes' names in the order of the labels; else the folders' names, or "0", "1", ...

    Raises:
        InvalidInput: the files are no data set of that format; says which names are expected.

    """
    chosen = format_name or _guess(files)
    describe: dict[str, Callable[[Sequence[LocalFile]], tuple[dict[str, Split], Sequence[str]]]] = {
        "idx": _describe_idx,
        "npz": _describe_npz,
        "image-folder": _describe_folders,
    }
    splits, found = describe[chosen](files)
    if classes and chosen == "image-folder" and set(found) - set(classes):
        strangers = ", ".join(sorted(set(found) - set(classes))[:5])
        raise InvalidInput(f"Folders that are none of the classes: {strangers}.", hint="Name every class.")
    if classes and len(classes) < len(found):
        raise InvalidInput(
            f"{len(classes)} classes are named, but the labels go up to {len(found) - 1}.",
            hint="Name every class in order.",
        )
    return DatasetDescription(format=chosen, classes=tuple(classes or found), splits=splits)


def _guess(files: Sequence[LocalFile]) -> Format:
    names = [file.path.rsplit("/", 1)[-1] for file in files]
    if any(_IDX_NAME.match(name) for name in names):
        return "idx"
    if any(name.endswith(".npz") for name in names):
        return "npz"
    if any(name.lower().endswith(PICTURE_SUFFIXES) for name in names):
        return "image-folder"
    raise InvalidInput(
        f"The files ({', '.join(names[:5])} ...) are no data set of a known format.",
        hint="Known: IDX (train-images-idx3-ubyte.gz ...), npz, image-folder (train/<class>/*.png).",
    )


def _split_name(name: str) -> str:
    return SPLIT_NAMES.get(name, name)


def _describe_idx(files: Sequence[LocalFile]) -> tuple[dict[str, Split], list[str]]:
    splits: dict[str, Split] = {}
    highest = 0
    for file in files:
        match = _IDX_NAME.match(file.path.rsplit("/", 1)[-1])
        if not match:
            raise InvalidInput(
                f"{file.path} is not named like an IDX file.", hint="Expected: train-images-idx3-ubyte[.gz]."
            )
        splits.setdefault(_split_name(match["split"] or "train"), {})[match["part"]] = file.path
        if match["part"] == "labels":
            highest = max(highest, _highest_idx_label(file.source))
    for split, parts in splits.items():
        if set(parts) != {"images", "labels"}:
            raise InvalidInput(f"The split {split!r} has only {', '.join(parts)}.", hint="It needs images and labels.")
    return splits, [str(label) for label in range(highest + 1)]


def _highest_idx_label(path: Path) -> int:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            head = stream.read(8)
            count = int.from_bytes(head[4:8], "big")
            if head[:4] != b"\x00\x00\x08\x01" or count > MAX_LABEL_BYTES:
                raise InvalidInput(f"{path} does not hold IDX labels (one byte each).")
            labels = stream.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error
    if len(labels) != count or not count:
        raise InvalidInput(f"{path} promises {count} labels and holds {len(labels)}.")
    return max(labels)


def _describe_npz(files: Sequence[LocalFile]) -> tuple[dict[str, Split], list[str]]:
    splits: dict[str, Split] = {}
    highest = 0
    for file in files:
        if not file.path.endswith(".npz"):
            raise InvalidInput(f"{file.path} is not an npz archive.", hint="Publish only the archives.")
        arrays = npz_arrays(file.source)
        for split, images, labels in _npz_pairs(Path(file.path).stem, arrays):
            if split in splits:
                raise InvalidInput(f"The split {split!r} occurs twice, the second time in {file.path}.")
            splits[split] = {"archive": file.path, "images": images, "labels": labels}
            highest = max(highest, highest_npz_label(file.source, labels))
    return splits, [str(label) for label in range(highest + 1)]


def _npz_pairs(stem: str, arrays: Sequence[str]) -> list[tuple[str, str, str]]:
    found = []
    for split in ("train", "test", "val", "valid", "validation"):
        for images, labels in _NPZ_PAIR:
            if images.format(split) in arrays and labels.format(split) in arrays:
                found.append((_split_name(split), images.format(split), labels.format(split)))
    if not found:
        for images, labels in (("images", "labels"), ("x", "y"), ("data", "target")):
            if images in arrays and labels in arrays:
                found.append((_split_name(stem), images, labels))
                break
    if not found:
        raise InvalidInput(
            f"{stem}.npz holds {', '.join(arrays[:10])}: no pair of images and labels.",
            hint="Name the arrays x_train, y_train, x_test, y_test; or images and labels in train.npz, test.npz.",
        )
    return found


def _describe_folders(files: Sequence[LocalFile]) -> tuple[dict[str, Split], list[str]]:
    depths = {file.path.count("/") for file in files}
    if not depths or min(depths) < 2:
        shallow = next((file.path for file in files if file.path.count("/") < 2), "nothing")
        raise InvalidInput(
            f"{shallow} is not in <split>/<class>/.",
            hint="Expected: train/<class>/picture.png, test/<class>/picture.png.",
        )
    splits: dict[str, Split] = {}
    classes: set[str] = set()
    for file in files:
        folder, name = file.path.split("/")[:2]
        if not file.path.lower().endswith(PICTURE_SUFFIXES):
            raise InvalidInput(f"{file.path} is not a picture.", hint=f"Allowed: {', '.join(PICTURE_SUFFIXES)}.")
        splits[_split_name(folder)] = {"folder": folder}
        classes.add(name)
    return splits, sorted(classes)
