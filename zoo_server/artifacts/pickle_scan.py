"""Reads a pickle's opcodes without executing them, and says which Python names it would import."""

import pickletools
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

SCAN_LIMIT = 8 * 2**20
"""Bytes of one pickle that are looked at."""
MAX_OPCODES = 500_000
"""Opcodes of one file that are looked at (a large network's state has some ten thousand); reading them is slow."""
MAX_PICKLES = 16
"""A file of torch before 1.6 is a handful of pickles in a row."""
PROTOCOL = 0x80

Severity = Literal["clean", "suspicious", "dangerous"]

ALLOWED = re.compile(
    r"""
      _codecs\.encode | argparse\.Namespace | collections\.(Counter|OrderedDict|defaultdict)
    | numpy\.(dtype|ndarray) | numpy\._?core\.multiarray\.(_reconstruct|scalar)
    | torch\.(Size|Tensor|device) | torch\.nn\.parameter\.Parameter | torch\.serialization\._get_layout
    | torch\.storage\.(Typed|Untyped)Storage
    | torch\.(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage
    | torch\.(b?float16|float32|float64|u?int8|int16|int32|int64|bool|float|half|double)
    | torch\._utils\._rebuild_((q|sparse_)?tensor(_v2)?|parameter(_with_state)?|device_tensor_from_numpy)
    | (builtins|__builtin__)\.(
        set|frozenset|dict|list|tuple|int|float|complex|bool|str|bytes|bytearray|slice|range|object
      )
    """,
    re.VERBOSE,
)
"""What the state of a model or an array needs, and what runs nothing by being called."""
DANGEROUS_MODULES = re.compile(
    r"""(
      os | posix | nt | subprocess | sys | socket | shutil | pty | ctypes | runpy | importlib | imp | code | codeop
    | commands | webbrowser | multiprocessing | asyncio | signal | tempfile | pathlib | io | builtins | __builtin__
    | operator | functools | pickle | _pickle | dill | cloudpickle | joblib | marshal | types | inspect | pdb | bdb
    | timeit | c?[pP]rofile | pip | ssl | http | urllib | requests | httplib | ftplib | smtplib | platform | site | venv
    | zipimport | pkgutil | gc | threading | _thread | torch\.hub | torch\.serialization | torch\.storage
    )(\..*)?""",
    re.VERBOSE,
)
"""Modules that start processes, open files and connections, or evaluate code."""


@dataclass(frozen=True)
class PickleScan:
    """What was found: the imported names, how many opcodes were read, and why the scan ended early (or None)."""

    names: frozenset[str]
    opcodes: int
    fault: str | None
    complete: bool


def scan_pickles(data: bytes, *, cut: bool, opcodes: int = MAX_OPCODES) -> list[PickleScan]:
    """Scan all pickles at the start of ``data``, at most so many opcodes; ``cut``: the file goes on after ``data``."""
    found: list[PickleScan] = []
    position = 0
    while position < len(data) and len(found) < MAX_PICKLES and (not found or data[position] == PROTOCOL):
        scan, length = _scan_one(data[position : position + SCAN_LIMIT], cut=cut, opcodes=opcodes)
        found.append(scan)
        opcodes -= scan.opcodes
        if not scan.complete:
            break
        position += length
    return found


def findings_of(scans: list[PickleScan], *, source: str = "") -> list[dict[str, str]]:
    """One finding for each suspicious or dangerous fact, else one that says that the pickle is clean."""
    where = f" in {source}" if source else ""
    found: list[dict[str, str]] = []
    for name in sorted(set().union(*(scan.names for scan in scans))):
        severity = severity_of(name)
        if severity != "clean":
            found.append({"severity": severity, "reason": f"The pickle{where} imports {name[:200]}."})
    for scan in scans:
        if scan.fault:
            severity = "suspicious" if scan.fault.startswith("only the first") else "dangerous"
            found.append({"severity": severity, "reason": f"The pickle{where} cannot be scanned whole: {scan.fault}."})
    if not found:
        opcodes = sum(scan.opcodes for scan in scans)
        reason = f"The pickle{where} imports nothing outside the allow-list ({opcodes} opcodes scanned, not executed)."
        found.append({"severity": "clean", "reason": reason})
    return found


def severity_of(name: str) -> Severity:
    """How bad it is that a pickle imports this name."""
    if ALLOWED.fullmatch(name):
        return "clean"
    return "dangerous" if DANGEROUS_MODULES.fullmatch(name) or "?" in name else "suspicious"


class _Malformed(Exception):
    """The opcodes do not fit together."""


_MARK = object()
_PUSHES_TEXT = frozenset(
    ["STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"]
)
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})


@dataclass
class _Machine:
    """The pickle machine's stack and memo, with texts kept and every other value forgotten."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def step(self, opcode: Any, argument: Any) -> None:
        name = opcode.name
        if name in {"GLOBAL", "INST"}:
            self.names.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL":
            parts = self.stack[-2:]
            self.names.add(".".join(part if isinstance(part, str) else "?" for part in parts))
        elif name in _EXTENSIONS:
            self.names.add(f"copyreg.extension?{argument}")
        if name in _PUTS or name == "MEMOIZE":
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self._top()
        elif name in _GETS:
            self.stack.append(self.memo.get(int(argument)))
        elif name in _PUSHES_TEXT:
            self.stack.append(argument)
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name == "DUP":
            self.stack.append(self._top())
        else:
            self._replace(opcode)

    def _top(self) -> Any:
        if not self.stack:
            raise _Malformed("the stack is empty")
        return self.stack[-1]

    def _replace(self, opcode: Any) -> None:
        before = list(opcode.stack_before)
        if pickletools.markobject in before or (opcode.name == "POP" and self.stack and self.stack[-1] is _MARK):
            while self.stack and self.stack[-1] is not _MARK:
                self.stack.pop()
            if not self.stack:
                raise _Malformed("a mark is missing")
            self.stack.pop()
            before = before[: before.index(pickletools.markobject)] if pickletools.markobject in before else []
        if len(self.stack) < len(before):
            raise _Malformed("the stack is too short")
        del self.stack[len(self.stack) - len(before) :]
        self.stack.extend([None] * len(opcode.stack_after))


def _scan_one(data: bytes, *, cut: bool, opcodes: int) -> tuple[PickleScan, int]:
    stream = BytesIO(data)
    machine = _Machine()
    count, fault, last = 0, None, ""
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if count >= opcodes:
                fault = f"only the first {count} opcodes were read"
                break
            machine.step(opcode, argument)
            count, last = count + 1, opcode.name
    except _Malformed as error:
        fault = str(error)
    except Exception as error:  # noqa: BLE001  pickletools raises many kinds for bytes that are no pickle
        at_the_end = cut or len(data) == SCAN_LIMIT
        fault = f"only the first {len(data)} bytes were read" if at_the_end else f"{type(error).__name__}: {error}"
    complete = fault is None and last == "STOP"
    return PickleScan(frozenset(machine.names), count, fault, complete), stream.tell()
