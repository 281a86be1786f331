"""What torch saves: checkpoints as zip and in the layout before torch 1.6; tensors are found without unpickling."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget, Limits, Malformed
from zoo_inspection.pickles.machine import Scan
from zoo_inspection.pickles.scanning import judge, scan_pickles
from zoo_inspection.pickles.tensors import StoredTensor, main_group, tensors_of
from zoo_inspection.pickles.values import OPAQUE, Made, entries
from zoo_inspection.reading import Flow, Section
from zoo_inspection.tables import ITEM_SIZES, Weights
from zoo_inspection.zips import Archive, open_zip

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
LEGACY_START = b"\x80\x02\x8a\n" + LEGACY_MAGIC + b"."
LEGACY_PICKLES = 5
"""What follows them are raw storages, which may look like anything."""
TEXTS_OF_INTEREST = ("arch", "epoch", "date", "best_acc1", "best_fitness", "version", "model_name", "architecture")
MAX_SHOWN = 32


@dataclass(frozen=True)
class TensorPlace:
    """A tensor of a checkpoint, and the bytes of its storage in the file: ``size`` bytes at ``position``."""

    tensor: StoredTensor
    position: int
    size: int


def inspect_checkpoint(archive: Archive, prefix: str, report: Report) -> None:
    """A zip of torch: ``<prefix>data.pkl`` and one member for each storage."""
    report.format = "pickle"
    scans = scan_pickles(archive.flow(f"{prefix}data.pkl"), archive.section.budget)
    judge(scans, report, source=f"{prefix}data.pkl")
    tell_tensors(scans, report, archive.section.budget)
    version = archive.read(f"{prefix}version", 20) if f"{prefix}version" in archive.members else b""
    report.facts["layout"] = "torch zip"
    if version.strip().isdigit():
        report.facts["archive_version"] = int(version)
    _check_storages(archive, prefix, scans, report)


def inspect_legacy(section: Section, report: Report) -> None:
    """Five pickles (magic number, protocol, system, object, keys of storages), then each storage's length and bytes."""
    report.format = "pickle"
    scans = scan_pickles(Flow(section), section.budget, most=LEGACY_PICKLES)
    judge(scans, report)
    report.facts |= {"layout": "torch before 1.6", "pickles": len(scans)}
    if len(scans) < LEGACY_PICKLES or not all(scan.complete for scan in scans):
        report.suspicious("The checkpoint lacks some of its five pickles; it may be cut.")
        return
    tell_tensors([scans[3]], report, section.budget)


def inspect_pickle(section: Section, report: Report) -> bool:
    """Any other pickle.  False: it is none after all, which for bytes without a protocol only reading tells."""
    scans = scan_pickles(Flow(section), section.budget)
    has_protocol = section.head(1) == b"\x80"
    if not has_protocol and not (scans and scans[0].complete):
        return False
    report.format = "pickle"
    report.facts["pickles"] = len(scans)
    judge(scans, report)
    value = entries(scans[0].value) if scans[0].complete else None
    if value and {"protocol_version", "data"} <= set(value):
        report.format = "oneflow"
        report.facts["layout"] = "C: one pickle" if "__oneflow__" in value else "B: pickle beside folders"
    tell_tensors(scans, report, section.budget)
    return True


def tell_tensors(scans: Iterable[Scan], report: Report, budget: Budget) -> None:
    """The tensors of the model in a checkpoint, and what else it says about itself."""
    weights = Weights(budget.limits.rows)
    out_of_range = 0
    for scan in scans:
        if not scan.complete:
            continue
        container, tensors = main_group(scan.value, list(tensors_of(scan.value, budget)))
        for tensor in tensors:
            weights.add(tensor.name, tensor.dtype, tensor.shape)
            out_of_range += tensor.out_of_range()
        if container:
            report.facts["container"] = container
        report.facts |= _about(scan.value)
    if weights.table.count:
        report.facts |= weights.facts()
    if out_of_range:
        report.suspicious(f"{out_of_range} tensors reach beyond their storage.")


def _about(root: Any) -> dict[str, Any]:
    top = entries(root)
    if isinstance(root, Made) and root.name and root.name != "collections.OrderedDict":
        return {"class": root.name[:200]}
    if top is None:
        return {}
    keys = [str(key)[:100] for key in list(top)[:1000] if isinstance(key, str)]
    plain = {
        key: value[:200] if isinstance(value, str) else value
        for key in TEXTS_OF_INTEREST
        if _is_plain(value := top.get(key))
    }
    model = top.get("model")
    found: dict[str, Any] = {"about": plain} if plain else {}
    if isinstance(model, Made) and model.name:
        found["class"] = model.name[:200]
    if len(keys) <= MAX_SHOWN:
        found["keys"] = keys
    return found


def _is_plain(value: object) -> bool:
    """Whether JSON can hold it: a text, or a number that is neither infinite nor huge nor none at all."""
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) < 2**53)


def _check_storages(archive: Archive, prefix: str, scans: list[Scan], report: Report) -> None:
    """Each storage that a tensor needs is there and as long as the pickle says."""
    budget, missing, short = archive.section.budget, 0, 0
    for tensor in tensors_of(scans[0].value if scans else OPAQUE, budget):
        if not tensor.key:
            continue
        member = archive.members.get(f"{prefix}data/{tensor.key}")
        needed = tensor.storage_elements * ITEM_SIZES.get(tensor.dtype, 0)
        missing += member is None
        short += member is not None and member.size < needed
    if missing or short:
        report.suspicious(f"Of the tensors {missing} have no storage in the archive and {short} have one too short.")


def places_of(path: Path, limits: Limits | None = None, *, part: str | None = None) -> list[TensorPlace]:
    """Where the tensors of a checkpoint's model lie in the file, so that it can be converted without unpickling it.

    ``part``: the key of the checkpoint under which the wanted tensors are; None: the likeliest.

    Raises:
        Malformed: it is no checkpoint of torch, or its parts do not fit together.
        LimitReached: it is too large to look at.

    """
    with path.open("rb", buffering=0) as stream:
        section = Section.whole(stream, Budget(limits or Limits()))
        if section.head(4) == b"PK\x03\x04":
            archive = open_zip(section, Report())
            main = main_pickle(archive)
            if main is None:
                raise Malformed("the archive holds no data.pkl")
            prefix = main.removesuffix("data.pkl")
            order = f"{prefix}byteorder"
            if order in archive.members and archive.read(order, 10) != b"little":
                raise Malformed("its numbers are big-endian")
            scan = _whole(scan_pickles(archive.flow(main), section.budget)[0])
            spans = _spans_of_zip(archive, prefix)
        elif section.head(len(LEGACY_START)) == LEGACY_START:
            flow = Flow(section)
            scans = [_whole(scan) for scan in scan_pickles(flow, section.budget, most=LEGACY_PICKLES)]
            if len(scans) < LEGACY_PICKLES:
                raise Malformed("the checkpoint lacks some of its five pickles")
            scan = scans[3]
            spans = _spans_of_legacy(section, flow.consumed, scan.value, scans[4].value)
        else:
            raise Malformed("it is no checkpoint of torch")
        _, tensors = main_group(scan.value, list(tensors_of(scan.value, section.budget)), part)
        return [_place(tensor, spans) for tensor in tensors if tensor.key]


def _whole(scan: Scan) -> Scan:
    if not scan.complete:
        raise Malformed(f"its pickle cannot be read whole: {scan.fault}")
    return scan


def _place(tensor: StoredTensor, spans: dict[str, tuple[int, int]]) -> TensorPlace:
    if tensor.key not in spans:
        raise Malformed(f"the tensor {tensor.name!r} has no storage")
    position, size = spans[tensor.key]
    if tensor.out_of_range() or tensor.storage_elements * ITEM_SIZES.get(tensor.dtype, 1) > size:
        raise Malformed(f"the tensor {tensor.name!r} reaches beyond its storage")
    return TensorPlace(tensor, position, size)


def _spans_of_zip(archive: Archive, prefix: str) -> dict[str, tuple[int, int]]:
    start = f"{prefix}data/"
    found = {}
    for name, member in archive.members.items():
        if name.startswith(start):
            if member.method != 0:
                raise Malformed(f"the storage {name!r} is packed")
            found[name.removeprefix(start)] = (archive.data(name).start, member.size)
    return found


def _spans_of_legacy(section: Section, position: int, root: Any, keys: Any) -> dict[str, tuple[int, int]]:
    """Each storage: its number of elements (8 bytes), then its elements, in the order of the list of keys."""
    sizes = {tensor.key: ITEM_SIZES.get(tensor.dtype, 0) for tensor in tensors_of(root, section.budget)}
    found = {}
    for key in keys if isinstance(keys, list) else ():
        elements = section.u64(position)
        if sizes.get(str(key), 0) == 0:
            raise Malformed(f"the storage {str(key)[:40]!r} belongs to no tensor of a known dtype")
        size = elements * sizes[str(key)]
        section.part(position + 8, size)
        found[str(key)] = (section.start + position + 8, size)
        position += 8 + size
    return found


def main_pickle(archive: Archive) -> str | None:
    """The name of the pickle of torch's own layout: ``<folder>/data.pkl``, or ``data.pkl``."""
    found = [name for name in archive.members if name.rpartition("/")[2] == "data.pkl" and name.count("/") <= 1]
    return min(found, key=len, default=None)
