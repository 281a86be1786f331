"""Findings on the pickles of a file."""

from collections.abc import Iterable

from zoo_inspection.findings import Report
from zoo_inspection.limits import Budget
from zoo_inspection.pickles.machine import MAX_OPCODES, Machine, Scan
from zoo_inspection.pickles.names import TORCHSCRIPT_CLASS, severity_of
from zoo_inspection.reading import Flow

MAX_PICKLES = 16
"""A file of torch before 1.6 is a handful of pickles in a row."""
PROTOCOL = 0x80
MAX_NAMES = 40


def scan_pickles(flow: Flow, budget: Budget, *, opcodes: int = MAX_OPCODES, most: int = MAX_PICKLES) -> list[Scan]:
    """The pickles at the start of a flow, at most so many and so many opcodes.  Their first byte tells later ones."""
    machine = Machine(flow, budget, opcodes=opcodes)
    found: list[Scan] = []
    while len(found) < most and not flow.at_end() and (not found or flow.peek() == PROTOCOL):
        found.append(machine.run())
        if not found[-1].complete:
            break
    return found


def judge(scans: Iterable[Scan], report: Report, *, source: str = "", script: bool = False) -> None:
    """One finding for each suspicious or dangerous fact, else one that says that the pickles are clean.

    ``script``: the pickle of a TorchScript program, whose classes (``__torch__...``) are its own.
    """
    scans = list(scans)
    where = f" in {source[:200]}" if source else ""
    before = len(report.findings)
    names = sorted(set().union(*(scan.names for scan in scans)), key=lambda name: (severity_of(name), name))
    bad = [name for name in names if severity_of(name) != "clean"]
    for name in [name for name in bad if not (script and TORCHSCRIPT_CLASS.fullmatch(name))][:MAX_NAMES]:
        report.add(severity_of(name), f"The pickle{where} imports {name[:200]}.")
    for scan in scans:
        if scan.fault:
            reason = f"The pickle{where} cannot be scanned whole: {scan.fault}."
            report.add("suspicious" if scan.cut else "dangerous", reason)
    if len(report.findings) == before:
        opcodes = sum(scan.opcodes for scan in scans)
        report.clean(f"The pickle{where} imports nothing outside the allow-list ({opcodes} opcodes, none executed).")
