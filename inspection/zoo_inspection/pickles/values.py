"""What stands on the stack of a pickle that is read without being executed: plain values and inert stand-ins."""

from typing import Any


class Named:
    """An imported name, which is not imported."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Made:
    """What a call of ``function`` would return; ``state`` and ``items`` are what would be put into it afterwards."""

    __slots__ = ("arguments", "function", "items", "state")

    def __init__(self, function: Any, arguments: Any) -> None:
        self.function = function
        self.arguments = arguments
        self.state: Any = None
        self.items: dict[Any, Any] | None = None

    @property
    def name(self) -> str:
        """The name of the function, if it is an imported name."""
        return self.function.name if isinstance(self.function, Named) else ""


class Stored:
    """A persistent id: what lies outside the pickle (torch: a storage)."""

    __slots__ = ("identity",)

    def __init__(self, identity: Any) -> None:
        self.identity = identity


class Skipped:
    """Bytes or a text too long to keep: ``size`` bytes at ``position`` of the pickle's file."""

    __slots__ = ("position", "size")

    def __init__(self, size: int, position: int) -> None:
        self.size = size
        self.position = position


class Opaque:
    """Any other value: it was built from what is not looked at."""

    __slots__ = ()


OPAQUE = Opaque()
PLAIN_KEYS = (str, int, float, bool, bytes)
"""Only these are hashed: a tuple nested deeply enough would exhaust the C stack."""


def put(target: Any, key: Any, value: Any) -> None:
    """``target[key] = value`` where that is a dictionary or a stand-in for one, and the key is plain."""
    if not isinstance(key, PLAIN_KEYS):
        return
    if isinstance(target, Made):
        if target.items is None:
            target.items = {}
        target.items[key] = value
    elif isinstance(target, dict):
        target[key] = value


def entries(value: Any) -> dict[Any, Any] | None:
    """The dictionary that a value is or stands for."""
    if isinstance(value, dict):
        return value
    return value.items if isinstance(value, Made) else None
