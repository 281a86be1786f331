"""Which format a zip archive is, by the members that it holds."""

from dataclasses import dataclass

from zoo_inspection import keras_files, oneflow, torch_export, torch_files, torchscript
from zoo_inspection.arrays import inspect_npz
from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget, LimitReached, Malformed
from zoo_inspection.pickles.machine import MAX_OPCODES
from zoo_inspection.pickles.scanning import judge, scan_pickles
from zoo_inspection.reading import Flow, Section
from zoo_inspection.saved_model import inspect_saved_model
from zoo_inspection.zips import Archive, open_zip

ZIP_MAGIC = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
PICKLE_SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".p")
PICKLE_NAMES = frozenset({"pickled_data", "data.pkl"})
CODE_SUFFIXES = (".py", ".pyc", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".jar")
MAX_PICKLES = 16
MAX_NESTED = 2


@dataclass(frozen=True)
class ZipFiles:
    """An archive as OneFlow's reader wants it."""

    archive: Archive

    @property
    def sizes(self) -> dict[str, int]:
        return {name: member.size for name, member in self.archive.members.items()}

    @property
    def budget(self) -> Budget:
        return self.archive.section.budget

    def read(self, name: str, most: int) -> bytes:
        return self.archive.read(name, most)

    def flow(self, name: str) -> Flow:
        return self.archive.flow(name)


def inspect_zip(section: Section, report: Report, *, depth: int = 0) -> None:
    """The format that the members tell, ``opaque`` for any other archive; all pickles in it are scanned."""
    archive = open_zip(section, report)
    members = archive.members
    main = torch_files.main_pickle(archive)
    prefix = (main or "").removesuffix("data.pkl")
    program = torch_export.program_name(archive)
    root = oneflow.root_of({name: member.size for name, member in members.items()})
    graphs = [name for name in members if name.rpartition("/")[2] == "saved_model.pb"]
    report.facts["members"] = len(members)
    if main and any(name.startswith(f"{prefix}code/") for name in members):
        torchscript.inspect_torchscript(archive, prefix, report)
        return
    if program:
        torch_export.inspect_export(archive, program, report)
    elif main:
        torch_files.inspect_checkpoint(archive, prefix, report)
    elif keras_files.is_keras_archive(archive):
        keras_files.inspect_archive(archive, report)
    elif root is not None:
        oneflow.inspect_oneflow(ZipFiles(archive), root, report)
    elif graphs:
        inspect_saved_model(archive.data(graphs[0]), report)
    elif members and all(name.endswith(".npy") for name in members):
        inspect_npz(archive, report)
        return
    _scan_others(archive, {main, f"{root}{oneflow.PICKLE}" if root is not None else None}, report, depth)
    _name_code(archive, report)


def _scan_others(archive: Archive, done: set[str | None], report: Report, depth: int) -> None:
    """Pickles beside the one that made the format known, those inside archives in the archive included."""
    pickles = [
        name
        for name in archive.members
        if name not in done and (name.lower().endswith(PICKLE_SUFFIXES) or name.rpartition("/")[2] in PICKLE_NAMES)
    ]
    opcodes = MAX_OPCODES
    for name in pickles[:MAX_PICKLES]:
        start = archive.read(name, 4)
        if start == ZIP_MAGIC:
            _nested(archive, name, report, depth)
        else:
            scans = scan_pickles(archive.flow(name), archive.section.budget, opcodes=opcodes)
            opcodes -= sum(scan.opcodes for scan in scans)
            judge(scans, report, source=name)
    if len(pickles) > MAX_PICKLES:
        report.suspicious(f"{len(pickles)} pickles: not all were scanned.")
    if pickles and report.format == "opaque":
        report.format = "pickle"


def _nested(archive: Archive, name: str, report: Report, depth: int) -> None:
    if depth >= MAX_NESTED:
        report.suspicious(f"Archives are nested in {name[:200]!r}: not looked into.")
        return
    inner = Report()
    try:
        inspect_zip(archive.data(name), inner, depth=depth + 1)
    except (Malformed, LimitReached) as fault:
        inner.suspicious(f"It cannot be looked at: {fault}.")
    for finding in inner.findings:
        report.add(finding["severity"], f"In {name[:100]!r}: {finding['reason']}")


def _name_code(archive: Archive, report: Report) -> None:
    code = [name for name in archive.members if name.lower().endswith(CODE_SUFFIXES)]
    if code:
        report.suspicious(f"The archive holds programs, {code[0][:200]!r} first ({len(code)}).")
