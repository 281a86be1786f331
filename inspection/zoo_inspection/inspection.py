"""The entry: identify a file by its bytes, and let the reader of its format look at it within limits."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from zoo_inspection import (
    archives,
    arrays,
    darknet,
    keras_files,
    onnx_model,
    openvino_ir,
    saved_model,
    tensorrt_plan,
    tflite,
    torch_files,
)
from zoo_inspection import safetensors_file as safetensors
from zoo_inspection.findings import Inspection, Report
from zoo_inspection.hdf5.headers import SIGNATURE as HDF5
from zoo_inspection.limits import Budget, LimitReached, Limits, Malformed
from zoo_inspection.pickles.machine import NEWEST_PROTOCOL
from zoo_inspection.reading import Section
from zoo_inspection.texts import inspect_text
from zoo_sdk.formats import FORMATS

logger = logging.getLogger(__name__)
INSPECTOR_VERSION = 1
"""Raised with every change that may find something else in a file: formats, facts or findings."""
OUR_FAULT = "the inspection itself failed"
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
CLAIMS = {
    suffix: {name for name, item in FORMATS.items() if suffix in item.suffixes}
    for suffix in (
        ".safetensors", ".onnx", ".h5", ".hdf5", ".keras", ".tflite", ".pb", ".pt2", ".pth", ".pt", ".plan", ".engine",
        ".weights", ".cfg", ".npz",
    )
}  # fmt: skip
"""By suffix: the formats that it promises."""
CLAIMS[".safetensors"] = {"safetensors", "zoo-integer"}
CLAIMS[".cfg"] |= {"text"}
CLAIMS[".pt"] |= {"torch-export"}
CLAIMS[".pt2"] |= {"torchscript"}


class Probe(NamedTuple):
    """A format: what people call it, whether bytes look like it, and the reader that fills in the report."""

    title: str
    matches: Callable[[Section], bool]
    fill: Callable[[Section, Report], object]


def _starts(*magics: bytes) -> Callable[[Section], bool]:
    return lambda section: section.head().startswith(magics)


def _tar(_: Section, report: Report) -> None:
    report.suspicious("A tar archive: not scanned.")


def _idx(section: Section, report: Report) -> None:
    head = section.head()
    report.format = "idx"
    report.facts["shape"] = (
        arrays.idx_in_gzip(head) if head[:2] == b"\x1f\x8b" else arrays.idx_shape(head, section.size)
    )


def _has_idx(section: Section) -> bool:
    head = section.head()
    shape = arrays.idx_in_gzip(head) if head[:2] == b"\x1f\x8b" else arrays.idx_shape(head, section.size)
    return shape is not None


def _has_protocol(section: Section) -> bool:
    head = section.head(2)
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= NEWEST_PROTOCOL


PROBES = (
    Probe("HDF5", _starts(HDF5), keras_files.inspect_h5),
    Probe("a zip archive", _starts(archives.ZIP_MAGIC, archives.EMPTY_ZIP), archives.inspect_zip),
    Probe("TensorFlow Lite", tflite.looks_like, tflite.inspect_tflite),
    Probe(
        "a TensorRT plan", lambda section: tensorrt_plan.start_of_plan(section) is not None, tensorrt_plan.inspect_plan
    ),
    Probe("a numpy array", _starts(arrays.NPY_MAGIC), arrays.inspect_npy),
    Probe("a tar archive", lambda section: section.head()[257:262] == b"ustar", _tar),
    Probe("safetensors", safetensors.looks_like, safetensors.inspect_safetensors),
    Probe("IDX", _has_idx, _idx),
    Probe("OpenVINO IR", openvino_ir.looks_like, openvino_ir.inspect_openvino),
    Probe("a checkpoint of torch", _starts(torch_files.LEGACY_START), torch_files.inspect_legacy),
    Probe("a pickle", _has_protocol, torch_files.inspect_pickle),
    Probe("a SavedModel", saved_model.looks_like, saved_model.inspect_saved_model),
    Probe("ONNX", onnx_model.looks_like, onnx_model.inspect_onnx),
    Probe("Darknet weights", darknet.looks_like_weights, darknet.inspect_weights),
    Probe("a Darknet configuration", lambda section: darknet.looks_like_cfg(section.head()), darknet.inspect_cfg),
)


def inspect(source: Path | BinaryIO, *, name: str = "", limits: Limits | None = None) -> Inspection:
    """Identify a file and look at it without executing any of it.

    ``name`` is what its owner calls it: never proof of the content, but a finding where it promises something else,
    and the one hint at pickles of protocol 0 and 1, which have no magic bytes.  Nothing that the file holds raises:
    what is damaged, or too large to look at whole, is a finding.

    Raises:
        OSError: the file cannot be read.

    """
    report = Report()
    with _opened(source) as stream:
        section = Section.whole(stream, Budget(limits or Limits()))
        try:
            _look(section, report, PurePosixPath(name).suffix.lower())
        except LimitReached as reached:
            report.suspicious(f"It was not looked at: {reached}.")
    _compare_with_name(report, name, section.size)
    _judge_shapes(report)
    return report.finished()


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as stream:
            yield stream
    else:
        yield source


def _look(section: Section, report: Report, suffix: str) -> None:
    if not section.size:
        report.format = "text"
        return
    for magic, kind in PICTURES.items():
        if section.head().startswith(magic):
            report.format = kind
            return
    probe = next((probe for probe in PROBES if _safely(probe.matches, section)), None)
    if probe is not None:
        _fill(probe, section, report)
        return
    if suffix in FORMATS["pickle"].suffixes and _old_pickle(section, report):
        return
    inspect_text(section, report)


def _safely(matches: Callable[[Section], bool], section: Section) -> bool:
    try:
        return matches(section)
    except (Malformed, LimitReached):
        return False


def _fill(probe: Probe, section: Section, report: Report) -> None:
    try:
        probe.fill(section, report)
    except Malformed as fault:
        report.format = "opaque"
        report.suspicious(f"It looks like {probe.title}, but {fault}.")
    except LimitReached as reached:
        report.suspicious(f"It looks like {probe.title}, but was not looked at whole: {reached}.")
    except OSError:
        raise
    except Exception as error:
        logger.exception("The inspection of %s failed", probe.title)
        report.suspicious(f"It looks like {probe.title}; {OUR_FAULT} ({type(error).__name__}).")


def _old_pickle(section: Section, report: Report) -> bool:
    """Protocols 0 and 1; anything that is not one after all leaves no trace in the report."""
    trial = Report()
    try:
        if not torch_files.inspect_pickle(section, trial):
            return False
    except (Malformed, LimitReached):
        return False
    report.format, report.facts, report.findings = trial.format, trial.facts, trial.findings
    return True


def _compare_with_name(report: Report, name: str, size: int) -> None:
    """An empty file or one of another format than its name promises."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in CLAIMS:
        return
    if size == 0:
        report.suspicious(f"It is called {name[-100:]!r} and is empty.")
    elif report.format not in CLAIMS[suffix]:
        report.suspicious(f"It is called {name[-100:]!r}, but its bytes are {report.format}.")


def _judge_shapes(report: Report) -> None:
    for side in ("inputs", "outputs"):
        for given in report.facts.get(side, ()):
            if given["shape"] and 0 in given["shape"]:
                report.suspicious(
                    f"The {side[:-1]} {given['name'][:100]!r} has an axis of length 0: {given['shape'][:16]}."
                )
    empty = report.facts.get("empty_tensors")
    if empty and report.format not in {"onnx", "openvino-ir", "tflite"}:
        report.suspicious(f"{empty} tensors have no elements (an axis of length 0).")
