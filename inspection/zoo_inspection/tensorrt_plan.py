"""TensorRT plans: opaque programs for one kind of GPU.  Known by their magic, searched for host code."""

import struct

from zoo_inspection.bounded_json import parse
from zoo_inspection.findings import Report
from zoo_inspection.limits import Malformed
from zoo_inspection.reading import Section

MAGICS = (b"ptrt", b"ftrt")
MAX_METADATA = 64 * 2**10
PIECE = 2**20
MAX_SEARCHED = 384 * 2**20
ELF = b"\x7fELF"
WINDOWS = b"This program cannot be run in DOS mode"
GPU_MACHINE = 190
"""``EM_CUDA``: code for the GPU, which every plan holds."""
OVERLAP = 64


def start_of_plan(section: Section) -> int | None:
    """Where the plan begins: at once, or (Ultralytics) behind a length and a JSON text; None: there is none."""
    head = section.head(1024)
    if head[:4] in MAGICS and len(head) >= 24:
        return 0
    if len(head) >= 24 and head[4:5] == b"{":
        start = 4 + int.from_bytes(head[:4], "little")
        if start <= MAX_METADATA and start + 4 <= section.size and section.at(start, 4) in MAGICS:
            return start
    return None


def inspect_plan(section: Section, report: Report) -> None:
    """What the header says; the rest is only searched for code of the host's processor (embedded plugin libraries)."""
    start = start_of_plan(section)
    if start is None:
        raise Malformed("its magic is missing")
    report.format = "tensorrt-plan"
    report.suspicious(
        "A TensorRT plan is a program: loading one runs what is in it. Only plans that were built here can be trusted."
    )
    report.facts["serialization_version"] = section.u32(start + 4)
    if start:
        told = parse(section.at(4, start - 4), what="its description")
        report.facts["metadata_keys"] = sorted(key[:60] for key in told)[:32] if isinstance(told, dict) else []
    for position in range(start, min(section.size, start + MAX_SEARCHED), PIECE - OVERLAP):
        piece = section.at(position, min(PIECE, section.size - position))
        if WINDOWS in piece or _holds_host_code(piece):
            report.dangerous("The plan holds a library for the host's processor: loading the plan may load it.")
            break
    if section.size - start > MAX_SEARCHED:
        report.suspicious(f"Only the first {MAX_SEARCHED} bytes were searched for host code.")


def _holds_host_code(piece: bytes) -> bool:
    position = piece.find(ELF)
    while position >= 0:
        header = piece[position : position + 20]
        if (
            len(header) == 20
            and header[4] in {1, 2}
            and struct.unpack_from("<H", header, 18)[0] not in {0, GPU_MACHINE}
        ):
            return True
        position = piece.find(ELF, position + 1)
    return False
