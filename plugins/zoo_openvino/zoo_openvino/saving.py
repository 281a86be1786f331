"""Saves models so that the same work gives the same bytes.

OpenVINO names what it adds to a graph by a counter of its process (``Convert_39090``), so the IR of the same model
differs from one conversion to the next.  Such names are numbered afresh; the model's own names stay.
"""

import re
from pathlib import Path

import openvino as ov

from zoo_openvino.runtime import read_file, read_model
from zoo_sdk.context import InputItem

FILES = ("model.xml", "model.bin")
_COUNTED_NAME = re.compile(r"\b([A-Z][A-Za-z]*)_\d+\b")


def own_names(item: InputItem) -> frozenset[str]:
    """The names that the file of a model input gives: those on which two readings agree, as the counter has gone on."""
    first, second = (
        {operation.get_friendly_name() for operation in read_model(item, several_outputs=True).get_ops()}
        for _ in range(2)
    )
    return frozenset(first & second)


def save(model: ov.Model, folder: Path, *, scratch: Path, keep: frozenset[str], compress_to_fp16: bool) -> ov.Model:
    """Write ``model`` as :data:`FILES` into ``folder`` and return it as read back from there.

    Args:
        model: what to save.
        folder: where to.
        scratch: a folder for a first version of the files.
        keep: names that are never changed; see :func:`own_names`.
        compress_to_fp16: store floating-point weights in half precision.

    """
    ov.save_model(model, scratch / FILES[0], compress_to_fp16=compress_to_fp16)
    saved = read_file(scratch / FILES[0], scratch / FILES[1], "the new model")
    _renumber(saved, keep)
    ov.serialize(saved, folder / FILES[0], folder / FILES[1])
    return read_file(folder / FILES[0], folder / FILES[1], "the new model")


def _renumber(model: ov.Model, keep: frozenset[str]) -> None:
    numbers: dict[str, str] = {}

    def renumbered(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"{match[1]}_auto{len(numbers)}")

    for operation in model.get_ordered_ops():
        name = operation.get_friendly_name()
        if name not in keep:
            operation.set_friendly_name(_COUNTED_NAME.sub(renumbered, name))
