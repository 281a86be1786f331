"""YAML of people: bounded, plain, every key once, and errors that name the place."""

from collections.abc import Hashable
from typing import Any

import yaml

from zoo_sdk.errors import InvalidInput
from zoo_server.catalog.cards import PlainYamlLoader


class _Loader(PlainYamlLoader):
    """Also refuses a key that stands twice in one mapping: the first would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  PyYAML's
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key if isinstance(key, Hashable) else None)
        return super().construct_mapping(node, deep=deep)


def load_yaml(text: str, *, file: str, error: type[InvalidInput], max_bytes: int) -> Any:
    """The content of ``text``; raises ``error`` with the file, the line and the column for what is no such YAML."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise error(f"{file} has {size} bytes, more than {max_bytes}.")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a narrowed SafeLoader
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise error(f"{file}{where}: {fault.problem}.") from fault
    except (yaml.YAMLError, ValueError) as fault:
        raise error(f"{file}: {str(fault).splitlines()[0][:200]}") from fault
