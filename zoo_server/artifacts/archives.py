"""Looks into zip files (npz, and what torch saves) with bounded reads; nothing is unpacked to disk."""

import struct
import zipfile
import zlib
from typing import BinaryIO

from zoo_server.artifacts.findings import Inspection
from zoo_server.artifacts.pickle_scan import MAX_OPCODES, SCAN_LIMIT, findings_of, scan_pickles

MAX_DIRECTORY = 8 * 2**20
"""Largest table of contents that is read, in bytes."""
MAX_SCANNED_MEMBERS = 64
MAX_SCANNED_PICKLES = 16
NPY_HEADER = 4096
PICKLE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth")
_END_RECORD = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_RECORD = b"PK\x06\x06"
_IN_ZIP64 = 0xFFFFFFFF
_READ_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def inspect_zip(stream: BinaryIO, size: int) -> Inspection:
    """``npz`` when all members are arrays, ``pickle`` when one is a pickle, else ``opaque``."""
    directory = _directory_size(stream, size)
    if directory is None or directory > MAX_DIRECTORY:
        told = "missing" if directory is None else f"{directory} bytes long"
        return _opaque(f"A zip file whose table of contents is {told}: not scanned.")
    try:
        with zipfile.ZipFile(stream) as archive:
            return _inspect_members(archive)
    except _READ_FAULTS as error:
        return _opaque(f"A zip file that cannot be read: {str(error)[:200]}.")


def _inspect_members(archive: zipfile.ZipFile) -> Inspection:
    members = [member for member in archive.infolist() if not member.is_dir()]
    facts = {"members": len(members)}
    pickles = [member for member in members if member.filename.lower().endswith(PICKLE_SUFFIXES)]
    if pickles:
        return Inspection("pickle", facts, tuple(_scan(archive, pickles)))
    if members and all(member.filename.endswith(".npy") for member in members):
        return Inspection("npz", facts, tuple(_object_arrays(archive, members)))
    return Inspection("opaque", facts)


def _scan(archive: zipfile.ZipFile, pickles: list[zipfile.ZipInfo]) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = []
    opcodes = MAX_OPCODES
    for member in pickles[:MAX_SCANNED_PICKLES]:
        with archive.open(member) as stream:
            data = stream.read(SCAN_LIMIT)
        scans = scan_pickles(data, cut=member.file_size > len(data), opcodes=opcodes)
        opcodes -= sum(scan.opcodes for scan in scans)
        findings += findings_of(scans, source=member.filename[:200])
    if len(pickles) > MAX_SCANNED_PICKLES:
        findings.append({"severity": "suspicious", "reason": f"{len(pickles)} pickles: not all were scanned."})
    return findings


def _object_arrays(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> list[dict[str, str]]:
    found = []
    for member in members[:MAX_SCANNED_MEMBERS]:
        with archive.open(member) as stream:
            if b"'|O'" in stream.read(NPY_HEADER):
                reason = f"The array {member.filename[:200]} holds Python objects: loading it unpickles them."
                found.append({"severity": "dangerous", "reason": reason})
    if len(members) > MAX_SCANNED_MEMBERS:
        found.append({"severity": "suspicious", "reason": f"{len(members)} arrays: not all were looked at."})
    return found


def _directory_size(stream: BinaryIO, size: int) -> int | None:
    """The size of the central directory as the end record states it, so that no huge one is ever read."""
    tail_size = min(size, 22 + 0xFFFF + 20)
    stream.seek(size - tail_size)
    tail = stream.read(tail_size)
    end = tail.rfind(_END_RECORD)
    if end < 0 or len(tail) < end + 22:
        return None
    (directory,) = struct.unpack_from("<I", tail, end + 12)
    locator = end - 20
    if directory != _IN_ZIP64 and (locator < 0 or tail[locator : locator + 4] != _ZIP64_LOCATOR):
        return int(directory)
    (position,) = struct.unpack_from("<Q", tail, locator + 8)
    stream.seek(min(position, size))
    record = stream.read(56)
    if len(record) < 56 or record[:4] != _ZIP64_RECORD:
        return None
    return int(struct.unpack_from("<Q", record, 40)[0])


def _opaque(reason: str) -> Inspection:
    return Inspection("opaque", findings=({"severity": "suspicious", "reason": reason},))
