"""Model cards: Markdown that may begin with YAML front matter between two ``---`` lines.

Front matter is read with PyYAML's safe loader, narrowed further: no anchors and aliases (a small text may not unfold
into a large one), bounded depth, plain JSON values only.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from zoo_sdk.errors import InvalidInput
from zoo_server.catalog.descriptions import MAX_TAGS, UNSTORABLE, Tag

MAX_CARD_BYTES = 256 * 1024
MAX_DEPTH = 20
_TAGS: TypeAdapter[list[str]] = TypeAdapter(list[Tag])


@dataclass(frozen=True)
class Card:
    """What the front matter says: all of it, and the two facts that fill a repository's empty fields."""

    metadata: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    tags: list[str] = field(default_factory=list)


class PlainYamlLoader(yaml.SafeLoader):
    """SafeLoader without aliases and with bounded depth; dates stay text."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "aliases are not allowed", self.peek_event().start_mark)
        if self.depth >= MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


PlainYamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_card(text: str) -> Card:
    """Read a card's front matter; raises :class:`InvalidInput` that names the line."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_CARD_BYTES:
        raise _fault(f"is larger than {MAX_CARD_BYTES // 1024} KiB", hint="Put long reports into files of a version.")
    block = _front_matter(text)
    if block is None:
        return Card()
    try:
        content = yaml.load(block, Loader=PlainYamlLoader)  # noqa: S506  a narrowed SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _fault(f"has wrong YAML: {error.problem}", line=mark.line + 2 if mark else None) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _fault(f"has wrong YAML: {error}".splitlines()[0]) from error
    if content is None:
        return Card()
    if not isinstance(content, dict):
        raise _fault("has front matter that is not a mapping", line=2)
    for key, value in content.items():
        _check_plain(key, value, _line_of(block, key))
    return Card(content, _licence(block, content), _tags(block, content))


def _front_matter(text: str) -> str | None:
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        return None
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return "\n".join(lines[1:number])
    raise _fault("has front matter without an end", line=1, hint="Close it with a line of three dashes.")


def _check_plain(key: Any, value: Any, line: int | None) -> None:
    """Only what JSON can hold may stay."""
    if not isinstance(key, str) or UNSTORABLE.search(key):
        raise _fault(f"has the key {key!r}, which is not text", line=line)
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            _check_plain(inner_key, inner, line)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(key, inner, line)
    elif isinstance(value, str) and UNSTORABLE.search(value):
        raise _fault(f"has a NUL or half a character under {key!r}", line=line)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _fault(f"has the number {value} under {key!r}", line=line)
    elif not isinstance(value, str | int | float | None):
        raise _fault(f"has a value of type {type(value).__name__} under {key!r}", line=line)


def _licence(block: str, content: dict[str, Any]) -> str:
    for key in ("licence", "license"):
        value = content.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > 100:
            raise _fault(f"has a {key} that is not a short text", line=_line_of(block, key))
        return value.strip()
    return ""


def _tags(block: str, content: dict[str, Any]) -> list[str]:
    value = content.get("tags")
    if value is None:
        return []
    try:
        tags = _TAGS.validate_python([value] if isinstance(value, str) else value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise _fault(f"has wrong tags: {message}", line=_line_of(block, "tags")) from error
    if len(tags) > MAX_TAGS:
        raise _fault(f"has more than {MAX_TAGS} tags", line=_line_of(block, "tags"))
    return list(dict.fromkeys(tags))


def _line_of(block: str, key: Any) -> int | None:
    """The line of a top-level key in the card, counted from 1 with the opening dashes."""
    for number, line in enumerate(block.split("\n"), start=2):
        if line.lstrip("\"'").startswith(str(key)):
            return number
    return None


def _fault(what: str, *, line: int | None = None, hint: str = "") -> InvalidInput:
    where = f" (line {line})" if line else ""
    facts: dict[str, Any] = {"field": "card"} | ({"line": line} if line else {})
    return InvalidInput(f"The card {what}{where}.", hint=hint, facts=facts)
