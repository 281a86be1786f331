"""Interprets a pickle's opcodes without executing them: nothing is imported, nothing is called.

The machine does with its stack and memo what Python's does, except that an import pushes a :class:`Named` and a call
pushes a :class:`Made`.  So the names that loading would import are exactly known, however they are hidden, and the
tables of tensors of a checkpoint can be read off the values.
"""

import re
import struct
from collections.abc import Callable
from typing import Any

from zoo_inspection.limits import Budget, LimitReached, Malformed
from zoo_inspection.pickles.values import OPAQUE, Made, Named, Skipped, Stored, put
from zoo_inspection.reading import Flow

MAX_OPCODES = 500_000
"""Opcodes of one file that are looked at (a large network's state has some ten thousand)."""
MAX_KEPT = 4096
"""Longer texts and bytes are passed over."""
MAX_KEPT_IN_ALL = 16 * 2**20
ESCAPE = re.compile(r"\\(?:[xuU]([0-9a-fA-F]{2,8})|([0-7]{1,3}))")
MAX_NUMBER = 20
"""Digits of a decimal number, or bytes of a binary one."""
NEWEST_PROTOCOL = 5


class Scan:
    """What is known of a pickle so far: the names that it imports, its opcodes, and its value once it is complete."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.opcodes = 0
        self.fault: str | None = None
        self.cut = False
        self.complete = False
        self.value: Any = OPAQUE


class _Mark:
    """The position of a MARK on the stack."""

    __slots__ = ()


MARK = _Mark()


class Machine:
    """One pickle after the other out of a flow; they share the bounds."""

    def __init__(self, flow: Flow, budget: Budget, *, opcodes: int = MAX_OPCODES) -> None:
        self.flow = flow
        self.budget = budget
        self.opcodes_left = opcodes
        self.kept = 0
        self._start()

    def _start(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.scan = Scan()

    def run(self) -> Scan:
        """Interpret one pickle up to its STOP, or as far as it goes."""
        self._start()
        scan = self.scan
        try:
            self._steps()
            scan.complete = True
        except LimitReached as reached:
            scan.cut, scan.fault = True, str(reached)
        except Malformed as error:
            scan.fault = str(error)
        self.stack, self.memo = [], {}
        return scan

    def _steps(self) -> None:
        take, scan, step = self.flow.take, self.scan, self.budget.step
        while True:
            if self.opcodes_left <= 0:
                raise LimitReached(f"only the first {scan.opcodes} opcodes were read")
            code = take(1)[0]
            self.opcodes_left -= 1
            scan.opcodes += 1
            step()
            if code == 0x2E:
                scan.value = self.pop()
                return
            action = ACTIONS.get(code)
            if action is None:
                raise Malformed(f"{code:#04x} is no opcode")
            action(self)

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise Malformed("the stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise Malformed("the stack is empty")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        position = len(self.stack) - 1
        while position >= 0 and self.stack[position] is not MARK:
            position -= 1
        if position < 0:
            raise Malformed("a mark is missing")
        found = self.stack[position + 1 :]
        del self.stack[position:]
        return found

    # Arguments.

    def number(self, size: int) -> int:
        return int.from_bytes(self.flow.take(size), "little")

    def text(self, size: int) -> Any:
        kept = self.data(size)
        return kept.decode("utf-8", "replace") if isinstance(kept, bytes) else kept

    def data(self, size: int) -> Any:
        if size > MAX_KEPT:
            position = self.flow.consumed
            self.flow.skip(size)
            return Skipped(size, position)
        self.kept += size
        if self.kept > MAX_KEPT_IN_ALL:
            raise LimitReached(f"its short texts alone are more than {MAX_KEPT_IN_ALL} bytes")
        return self.flow.take(size)

    def line(self) -> str:
        found = self.flow.line(MAX_KEPT)
        self.kept += len(found)
        if self.kept > MAX_KEPT_IN_ALL:
            raise LimitReached(f"its short texts alone are more than {MAX_KEPT_IN_ALL} bytes")
        return found.decode("utf-8", "replace").rstrip("\r")

    def index(self) -> int:
        """The number of a memo's entry that a line holds."""
        line = self.line().strip()
        if not line.isascii() or not line.isdigit() or len(line) > MAX_NUMBER:
            raise Malformed(f"{line[:40]!r} is no number of a memo's entry")
        return int(line)

    # Opcodes with more than one step.

    def remember(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise Malformed(f"the memo has no entry {index}")
        self.stack.append(self.memo[index])

    def imported(self, module: Any, name: Any) -> None:
        full = ".".join(part if isinstance(part, str) else "?" for part in (module, name))
        self.scan.names.add(full)
        self.stack.append(Named(full))

    def extension(self, size: int) -> None:
        name = f"copyreg.extension?{self.number(size)}"
        self.scan.names.add(name)
        self.stack.append(Named(name))

    def decimal(self, *, whole: bool) -> None:
        line = self.line().strip().removesuffix("L")
        try:
            if whole:
                self.push({"00": False, "01": True}.get(line, OPAQUE) if line in {"00", "01"} else _int(line))
            else:
                self.push(float(line))
        except ValueError as error:
            raise Malformed(f"{line[:40]!r} is no number") from error

    def binary(self, size: int) -> None:
        raw = self.data(size)
        short = isinstance(raw, bytes) and len(raw) <= MAX_NUMBER
        self.push(int.from_bytes(raw, "little", signed=True) if short else OPAQUE)

    def call(self, arguments: Any) -> None:
        self.push(Made(self.pop(), arguments))

    def reduce(self) -> None:
        self.call(self.pop())

    def new_with_names(self) -> None:
        self.pop()
        self.call(self.pop())

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Made):
            target.state = state

    def set_items(self, pairs: list[Any]) -> None:
        if len(pairs) % 2:
            raise Malformed("a key is without a value")
        target = self.top()
        for position in range(0, len(pairs), 2):
            put(target, pairs[position], pairs[position + 1])

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)

    def make_dict(self) -> None:
        pairs = self.since_mark()
        self.push({})
        self.set_items(pairs)

    def make_instance(self) -> None:
        module, name = self.line(), self.line()
        arguments = tuple(self.since_mark())
        self.imported(module, name)
        self.call(arguments)

    def make_object(self) -> None:
        values = self.since_mark()
        if not values:
            raise Malformed("an object is without a class")
        self.push(Made(values[0], tuple(values[1:])))

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        put(self.top(), key, value)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.imported(module, name)

    def drop(self) -> None:
        if not self.stack:
            raise Malformed("the stack is empty")
        self.stack.pop()

    def protocol(self) -> None:
        number = self.number(1)
        if number > NEWEST_PROTOCOL:
            raise Malformed(f"the protocol {number} is unknown")

    def quoted(self) -> None:
        line = self.line().strip()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
            raise Malformed("a text is not quoted")
        self.push(_unescaped(line[1:-1]))


def _int(line: str) -> Any:
    if len(line) > MAX_NUMBER:
        if not line.lstrip("+-").isdigit():
            raise ValueError(line)
        return OPAQUE
    return int(line)


def _unescaped(text: str) -> str:
    """A name may be written with escapes to hide it."""
    return ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16 if found[1] else 8) & 0xFFFF), text)


Action = Callable[[Machine], Any]
ACTIONS: dict[int, Action] = {
    ord("("): lambda m: m.stack.append(MARK),
    ord("0"): Machine.drop,
    ord("1"): lambda m: m.since_mark(),
    ord("2"): lambda m: m.push(m.top()),
    ord("F"): lambda m: m.decimal(whole=False),
    ord("I"): lambda m: m.decimal(whole=True),
    ord("J"): lambda m: m.push(struct.unpack("<i", m.flow.take(4))[0]),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("L"): lambda m: m.decimal(whole=True),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("N"): lambda m: m.push(None),
    ord("P"): lambda m: m.push(Stored(m.line())),
    ord("Q"): lambda m: m.push(Stored(m.pop())),
    ord("R"): Machine.reduce,
    ord("S"): Machine.quoted,
    ord("T"): lambda m: m.push(m.text(m.number(4))),
    ord("U"): lambda m: m.push(m.text(m.number(1))),
    ord("V"): lambda m: m.push(_unescaped(m.line())),
    ord("X"): lambda m: m.push(m.text(m.number(4))),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("b"): Machine.build,
    ord("c"): lambda m: m.imported(m.line(), m.line()),
    ord("d"): Machine.make_dict,
    ord("}"): lambda m: m.push({}),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("g"): lambda m: m.recall(m.index()),
    ord("h"): lambda m: m.recall(m.number(1)),
    ord("i"): Machine.make_instance,
    ord("j"): lambda m: m.recall(m.number(4)),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord("]"): lambda m: m.push([]),
    ord("o"): Machine.make_object,
    ord("p"): lambda m: m.remember(m.index()),
    ord("q"): lambda m: m.remember(m.number(1)),
    ord("r"): lambda m: m.remember(m.number(4)),
    ord("s"): Machine.set_item,
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    ord(")"): lambda m: m.push(()),
    ord("u"): lambda m: m.set_items(m.since_mark()),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.flow.take(8))[0]),
    0x80: Machine.protocol,
    0x81: Machine.reduce,
    0x82: lambda m: m.extension(1),
    0x83: lambda m: m.extension(2),
    0x84: lambda m: m.extension(4),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    0x88: lambda m: m.push(True),  # noqa: FBT003
    0x89: lambda m: m.push(False),  # noqa: FBT003
    0x8A: lambda m: m.binary(m.number(1)),
    0x8B: lambda m: m.binary(m.number(4)),
    ord("B"): lambda m: m.push(m.data(m.number(4))),
    ord("C"): lambda m: m.push(m.data(m.number(1))),
    0x8C: lambda m: m.push(m.text(m.number(1))),
    0x8D: lambda m: m.push(m.text(m.number(8))),
    0x8E: lambda m: m.push(m.data(m.number(8))),
    0x8F: lambda m: m.push([]),
    0x90: lambda m: m.append(m.since_mark()),
    0x91: lambda m: m.push(tuple(m.since_mark())),
    0x92: Machine.new_with_names,
    0x93: Machine.stack_global,
    0x94: lambda m: m.remember(len(m.memo)),
    0x95: lambda m: m.number(8),
    0x96: lambda m: m.push(m.data(m.number(8))),
    0x97: lambda m: m.push(OPAQUE),
    0x98: lambda m: m.top(),
}
"""By opcode.  Sets are kept as lists: their members are not hashed."""
