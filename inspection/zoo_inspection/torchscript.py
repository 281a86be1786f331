"""TorchScript: a zip of a program's text and its state.  The text is read, the state is interpreted symbolically."""

import re
from itertools import islice

from zoo_inspection.findings import Report
from zoo_inspection.limits import LimitReached, Malformed
from zoo_inspection.pickles.machine import MAX_OPCODES
from zoo_inspection.pickles.scanning import judge, scan_pickles
from zoo_inspection.pickles.values import Made
from zoo_inspection.tables import Table, port
from zoo_inspection.torch_files import tell_tensors
from zoo_inspection.zips import Archive

MAX_SOURCES = 2000
MAX_CALLS = 100_000
MAX_SOURCE = 2 * 2**20
MAX_SOURCE_IN_ALL = 16 * 2**20
CALL = re.compile(r"\b(?:torch|ops\.[A-Za-z_0-9]{1,60})(?:\.[A-Za-z_0-9]{1,60}){0,8}(?=\()")
NAMESPACE = re.compile(r"\bops\.([A-Za-z_0-9]+)\.")
DANGEROUS_CALL = re.compile(r"(?:torch|ops\.(?:aten|prims?))\.(?:save|load|from_file|_save|open|system)\b.*")
OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "quantized", "torchvision", "_quantized", "inductor"})
FORWARD = re.compile(r"def forward\(([^)]{0,4000})\) ?-> ?([^:\n]{1,400}):")
TYPED = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)\s*:\s*(.+)", re.DOTALL)


def inspect_torchscript(archive: Archive, prefix: str, report: Report) -> None:
    """The program's entry, its operators and its tensors."""
    report.format = "torchscript"
    report.suspicious(
        "TorchScript is a program: loading it runs what it says (no call to Python, but files and memory)."
    )
    budget, root, opcodes = archive.section.budget, "", MAX_OPCODES
    for name in (f"{prefix}data.pkl", f"{prefix}constants.pkl"):
        if name not in archive.members:
            continue
        scans = scan_pickles(archive.flow(name), budget, opcodes=opcodes)
        opcodes -= sum(scan.opcodes for scan in scans)
        judge(scans, report, source=name, script=True)
        if name.endswith("data.pkl"):
            tell_tensors(scans, report, budget)
            value = scans[0].value if scans else None
            root = value.name if isinstance(value, Made) else ""
    _read_sources(archive, f"{prefix}code/", root, report)


def _read_sources(archive: Archive, folder: str, root: str, report: Report) -> None:
    calls: set[str] = set()
    modules = Table(("module",), archive.section.budget.limits.rows)
    read = 0
    module, _, class_name = root.rpartition(".")
    wanted = folder + module.replace(".", "/") + ".py"
    sources = [name for name in archive.members if name.startswith(folder) and name.endswith(".py")]
    for name in sources[:MAX_SOURCES]:
        text = archive.read(name, MAX_SOURCE + 1).decode("utf-8", "replace")
        read += len(text)
        if len(text) > MAX_SOURCE or read > MAX_SOURCE_IN_ALL:
            raise LimitReached("its program's text is too long")
        modules.add(name.removeprefix(folder))
        calls.update(found[0] for found in islice(CALL.finditer(text), MAX_CALLS))
        if len(calls) > MAX_CALLS:
            raise LimitReached(f"its program calls more than {MAX_CALLS} operators")
        if name == wanted:
            _tell_entry(text, class_name, report)
    if not sources:
        raise Malformed("its program's text is missing")
    report.facts["layers"] = modules.told()
    report.facts["operators"] = sorted(calls)[:200]
    for call in sorted(calls):
        if DANGEROUS_CALL.fullmatch(call):
            report.dangerous(f"The program calls {call[:100]}, which reads or writes files.")
    for space in sorted({found for call in calls for found in NAMESPACE.findall(call)} - OWN_NAMESPACES)[:16]:
        report.suspicious(f"The program needs the custom operators {space[:60]!r}.")


def _tell_entry(text: str, class_name: str, report: Report) -> None:
    start = text.find(f"class {class_name}(")
    found = FORWARD.search(text, max(start, 0))
    if not found:
        return
    typed = [TYPED.fullmatch(argument.strip()) for argument in found[1].split(",")[1:65]]
    report.facts["inputs"] = [port(pair[1], _kind(pair[2]), None) for pair in typed if pair]
    report.facts["outputs"] = [port("output", _kind(found[2]), None)]


def _kind(annotation: str) -> str:
    """The program says ``Tensor`` whatever the dtype is."""
    kind = annotation.strip()
    return "" if kind == "Tensor" else kind[:40]
