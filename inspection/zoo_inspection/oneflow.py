"""OneFlow checkpoints, in the four layouts that its versions wrote (here as a zip or a folder; C is a single pickle).

A (0.5): ``<parameter>/{meta,out}`` and ``snapshot_done``.  B (0.6 to 0.9): ``pickled_data`` beside
``tensor_<n>/{meta,out}``.
C (1.0): one pickle, see :func:`zoo_inspection.torch_files.inspect_pickle`.  D (a saved graph): ``model.mlir`` beside
``<variable>/{meta,out}``.  ``meta`` is protobuf text, ``out`` the raw elements.
"""

import re
from typing import Protocol

from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget, Malformed
from zoo_inspection.pickles.scanning import judge, scan_pickles
from zoo_inspection.pickles.tensors import main_group, tensors_of
from zoo_inspection.reading import Flow
from zoo_inspection.tables import ITEM_SIZES, Weights, elements_of

META, BODY, PICKLE, DONE, GRAPH = "meta", "out", "pickled_data", "snapshot_done", "model.mlir"
MAX_META = 4096
DTYPES = {
    "kChar": "int8", "kFloat": "float32", "kDouble": "float64", "kInt8": "int8", "kInt32": "int32", "kInt64": "int64",
    "kUInt8": "uint8", "kFloat16": "float16", "kBFloat16": "bfloat16", "kBool": "bool", "kUInt16": "uint16",
    "kUInt32": "uint32", "kUInt64": "uint64", "kInt16": "int16", "kComplex64": "complex64", "kComplex128": "complex128",
}  # fmt: skip
TEXT = re.compile(
    r"\s*shape\s*\{((?:\s*dim\s*:\s*-?\d{1,18})*)\s*\}\s*data_type\s*:\s*(k[A-Za-z0-9]{1,20})\s*[^{}]{0,200}"
)
PLAIN_FOLDER = re.compile(r"[A-Za-z0-9_]{1,200}")


class Files(Protocol):
    """A zip or a folder: files by their path."""

    @property
    def sizes(self) -> dict[str, int]: ...

    @property
    def budget(self) -> Budget: ...

    def read(self, name: str, most: int) -> bytes: ...

    def flow(self, name: str) -> Flow: ...


def parse_meta(text: str) -> tuple[tuple[int, ...], str] | None:
    """Shape and dtype of a tensor; None if it is no such text."""
    found = TEXT.fullmatch(text)
    if not found:
        return None
    return tuple(int(length) for length in re.findall(r"-?\d+", found[1])), DTYPES.get(found[2], found[2])


def root_of(names: dict[str, int]) -> str | None:
    """The folder (with a slash, or "") in which a checkpoint lies; None if there is none."""
    marks = [name for name in names if name.rpartition("/")[2] in {PICKLE, DONE, GRAPH}]
    mark = min(marks, key=len, default=None)
    if mark is None:
        return None
    root = mark.rpartition("/")[0]
    root = f"{root}/" if root else ""
    has_tensor = any(name.startswith(root) and name.endswith(f"/{BODY}") for name in names)
    return root if has_tensor else None


def inspect_oneflow(files: Files, root: str, report: Report) -> None:
    """Every tensor's name, dtype and shape; its bytes must be as many as the shape says."""
    report.format = "oneflow"
    report.facts["producer"] = "oneflow"
    names, layout = names_of(files, root, report)
    report.facts["layout"] = layout
    weights, wrong, sizes = Weights(files.budget.limits.rows), 0, files.sizes
    for path in sorted(path for path in sizes if path.startswith(root) and path.endswith(f"/{BODY}")):
        files.budget.step()
        folder = path[len(root) :].removesuffix(f"/{BODY}")
        meta = f"{root}{folder}/{META}"
        told = parse_meta(files.read(meta, MAX_META).decode("utf-8", "replace")) if meta in sizes else None
        if told is None:
            report.suspicious(f"The tensor {folder[:100]!r} has no readable description.")
            continue
        shape, dtype = told
        elements = elements_of(shape)
        wrong += dtype in ITEM_SIZES and elements * ITEM_SIZES[dtype] != sizes[path]
        if not names or folder in names:
            weights.add(names.get(folder, folder), dtype, shape)
    if wrong:
        report.suspicious(f"{wrong} tensors have not as many bytes as their shapes say.")
    missing = [folder for folder in names if f"{root}{folder}/{BODY}" not in sizes]
    if missing:
        report.suspicious(f"{len(missing)} tensors are missing, {missing[0][:100]!r} first.")
    report.facts |= weights.facts()
    if not report.findings:
        report.clean("Its tensors are plain bytes, and it holds no pickle.")


def names_of(files: Files, root: str, report: Report, part: str | None = None) -> tuple[dict[str, str], str]:
    """Folder -> name of the parameter (empty: the folders are called as the parameters), and the layout.

    ``part``: the key of the pickle under which the wanted tensors are; None: the likeliest.
    """
    if f"{root}{PICKLE}" in files.sizes:
        scans = scan_pickles(files.flow(f"{root}{PICKLE}"), files.budget)
        judge(scans, report, source=f"{root}{PICKLE}")
        if not scans or not scans[0].complete:
            raise Malformed("its pickle cannot be read whole")
        _, tensors = main_group(scans[0].value, list(tensors_of(scans[0].value, files.budget)), part)
        names = {}
        for tensor in tensors:
            if not PLAIN_FOLDER.fullmatch(tensor.folder):
                report.dangerous(f"The tensor {tensor.name[:100]!r} would be read from {tensor.folder[:100]!r}.")
                continue
            names[tensor.folder] = tensor.name
        return names, "B: pickle beside folders"
    return {}, "D: graph" if f"{root}{GRAPH}" in files.sizes else "A: folders"
