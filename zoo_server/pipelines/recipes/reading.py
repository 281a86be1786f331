"""Reading YAML that somebody sent: plain values with the place of each, and nothing that could surprise.

PyYAML scans and parses; the values are made here, from events, so that nothing is built that was not allowed:
no tags, anchors, aliases or merge keys (an alias bomb has nothing to grow from), no duplicate keys, bounded size,
number of nodes and depth.  Plain scalars are read by the core schema of YAML 1.2 (10.3.2): ``1e-3`` is a number,
and ``on`` and ``12:30`` are texts, unlike in YAML 1.1.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from zoo_server.pipelines.recipes.faults import FaultList, InvalidRecipe, Key, Mark, RecipeFault, dotted

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 20
MAX_SCALAR = 16_000
MAX_DIGITS = 300
LARGEST_NUMBER = 2**63
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OTHER_BASE = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_FLOW_REFERENCE = re.compile(r"\$\{")


@dataclass
class Document:
    """A YAML document: its value, and where each key of it is."""

    file: str
    value: Any
    marks: dict[Key, Mark]


def read_document(text: str, *, file: str) -> Document:
    """The one document in ``text``; raises :class:`InvalidRecipe` that says where it goes wrong."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _fault(file, Mark(1, 1), (), f"The recipe has {size} bytes.", f"at most {MAX_BYTES} bytes")
    reader = _Reader(file, yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        mark = Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)
        raise _fault(file, mark, reader.key, f"This is not YAML: {_what(error)}.", _hint(text, place)) from error
    except yaml.reader.ReaderError as error:
        line, column = _place_of(text, error.position)
        message = f"The character {chr(error.character)!r} is not allowed in YAML."
        raise _fault(file, Mark(line, column), reader.key, message) from error
    return Document(file, value, reader.faults.marks)  # type: ignore[arg-type]  # the reader filled a dict


def _fault(file: str, mark: Mark, key: Key, message: str, allowed: str = "") -> InvalidRecipe:
    return InvalidRecipe([RecipeFault(file, mark, dotted(key), message, None, allowed)])


def _what(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


def _hint(text: str, place: Any) -> str:
    """People write ``{data: ${inputs.data}}``, which YAML reads as a mapping inside a mapping."""
    if place is None:
        return ""
    line = text.splitlines()[place.line : place.line + 1]
    if line and _FLOW_REFERENCE.search(line[0]):
        return 'inside {...} and [...] write references in quotes: "${inputs.data}"'
    return ""


def _place_of(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


@dataclass
class _Reader:
    """Makes values from the parser's events, one after the other."""

    file: str
    events: Iterator[Any]
    key: Key = ()
    nodes: int = 0
    marks: dict[Key, Mark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults = FaultList(self.file, self.marks)

    def document(self) -> Any:
        """The value of the stream's only document."""
        next(self.events)  # the stream's start
        start = next(self.events)
        if not isinstance(start, yaml.DocumentStartEvent):
            raise self._refused(start, "The recipe is empty.", "a mapping")
        value = self._node(next(self.events), ())
        next(self.events)  # the document's end
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._refused(after, "A second document begins here.", "one document")
        self.faults.raise_any()
        return value

    def _node(self, event: Any, key: Key) -> Any:
        self.key = key
        self.marks.setdefault(key, _mark(event))
        self._check(event, key)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, key)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(key)
        return self._mapping(key)

    def _check(self, event: Any, key: Key) -> None:
        self.nodes += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._refused(event, "Anchors and aliases are not allowed.", "write the value out, or use values")
        if event.tag is not None and not (isinstance(event, yaml.ScalarEvent) and event.tag == "!"):
            raise self._refused(event, f"The tag {event.tag[:80]!r} is not allowed.", "values without tags")
        if self.nodes > MAX_NODES:
            raise self._refused(event, f"The recipe has more than {MAX_NODES} values.", f"at most {MAX_NODES}")
        if len(key) > MAX_DEPTH:
            raise self._refused(event, f"The recipe is nested deeper than {MAX_DEPTH} levels.", f"{MAX_DEPTH} levels")

    def _sequence(self, key: Key) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*key, len(values))))
        return values

    def _mapping(self, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            self.key = key
            self._check(event, key)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refused(event, "A key must be a text.", "a text")
            name = event.value
            inner = (*key, name)
            if len(name) > 100:
                raise self._refused(event, "A key is longer than 100 characters.", "at most 100 characters")
            if name in values:
                first = self.marks[inner].line
                self.faults.found.append(
                    RecipeFault(self.file, _mark(event), dotted(inner), f"This key was given on line {first} already.")
                )
            self.marks.setdefault(inner, _mark(event))
            value = self._node(next(self.events), inner)
            values.setdefault(name, value)
        return values

    def _scalar(self, event: Any, key: Key) -> Any:
        text: str = event.value
        if len(text) > MAX_SCALAR:
            raise self._refused(event, f"A text has {len(text)} characters.", f"at most {MAX_SCALAR}")
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self._refused(event, "A text holds a NUL or half a character.", "text")
        if not event.implicit[0] or event.style is not None:
            return text  # quoted, or a block
        value = plain_value(text)
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.add(key, f"{text[:40]!r} is not a finite number", text, "a finite number")
        elif isinstance(value, int) and abs(value) >= LARGEST_NUMBER:
            self.faults.add(key, f"{text[:40]!r} is too large", text, f"less than {LARGEST_NUMBER}")
        return value

    def _refused(self, event: Any, message: str, allowed: str) -> InvalidRecipe:
        return _fault(self.file, _mark(event), self.key, message, allowed)


def plain_value(text: str) -> Any:
    """What an unquoted scalar means by the core schema of YAML 1.2."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) <= MAX_DIGITS:
        if _INTEGER.match(text):
            return int(text)
        if _OTHER_BASE.match(text):
            return int(text, 0)
        if _FLOAT.match(text):
            return float(text)
    return math.nan if _INFINITE.match(text) else text


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
