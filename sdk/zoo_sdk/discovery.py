"""Operations found through entry points of the group ``zoo.operations``."""

import logging
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zoo_sdk.context import OperationFunction
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.operations import OperationSpec

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "zoo.operations"


class InvalidPlugin(InvalidInput):
    """An entry point that does not give an :class:`OperationSpec` under its own name."""

    code = "invalid-plugin"


def discover_operations() -> dict[str, OperationSpec]:
    """All usable operations that are installed, by name, without importing any framework.

    What cannot be used (:class:`InvalidPlugin`) is logged and left out, so that one broken plugin stops no other one;
    :func:`find_operation` says what is wrong with it.
    """
    found: dict[str, OperationSpec] = {}
    for name, points in _points_by_name().items():
        try:
            found[name] = _only(name, points)
        except InvalidPlugin:
            logger.exception("the operation %s is not offered", name)
    return found


def _points_by_name() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda item: (item.name, item.value)):
        found.setdefault(point.name, []).append(point)
    return found


def _only(name: str, points: Sequence[EntryPoint]) -> OperationSpec:
    if len(points) > 1:
        places = " and ".join(point.value for point in points)
        raise InvalidPlugin(f"Two plugins offer {name!r}: {places}.", hint="Uninstall one.")
    return _load(points[0])


def _load(point: EntryPoint) -> OperationSpec:
    source = (
        f"entry point {point.name} = {point.value} of {point.dist.name if point.dist else 'an unknown distribution'}"
    )
    try:
        spec = point.load()
    except Exception as error:
        raise InvalidPlugin(f"The {source} cannot be imported: {error!r}.") from error
    if not isinstance(spec, OperationSpec):
        raise InvalidPlugin(f"The {source} is {type(spec).__name__}, not an OperationSpec.")
    if spec.name != point.name:
        raise InvalidPlugin(f"The {source} is named {spec.name!r} inside.", hint="Give both the same name.")
    return spec


def find_operation(name: str) -> OperationSpec:
    """The installed operation of that name; no other plugin is imported.

    Raises:
        UnknownName: nothing of that name is installed.
        InvalidPlugin: its entry point cannot be imported, is no OperationSpec, or two distributions offer the name.

    """
    known = _points_by_name()
    if name not in known:
        raise UnknownName("operation", name, known)
    return _only(name, known[name])


def load_implementation(spec: OperationSpec) -> OperationFunction[Any]:
    """Import the function that does the work (and with it the framework): call this in the child process only."""
    module, _, function = spec.implementation.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]
