"""Operations found through entry points of the group ``zoo.operations``."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zoo_sdk.context import OperationFunction
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.operations import OperationSpec

ENTRY_POINT_GROUP = "zoo.operations"


class InvalidPlugin(InvalidInput):
    """An entry point that does not give an :class:`OperationSpec` under its own name."""

    code = "invalid-plugin"


def discover_operations() -> dict[str, OperationSpec]:
    """All installed operations by name, without importing any framework.

    Raises:
        InvalidPlugin: an entry point cannot be imported, is no OperationSpec, or two distributions offer one name.

    """
    found: dict[str, OperationSpec] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda item: (item.name, item.value)):
        spec = _load(point)
        if spec.name in found:
            raise InvalidPlugin(f"Two plugins offer {spec.name!r}; the second is {point.value}.", hint="Uninstall one.")
        found[spec.name] = spec
    return found


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
    """The installed operation of that name."""
    known = discover_operations()
    if name not in known:
        raise UnknownName("operation", name, known)
    return known[name]


def load_implementation(spec: OperationSpec) -> OperationFunction[Any]:
    """Import the function that does the work (and with it the framework): call this in the child process only."""
    module, _, function = spec.implementation.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]
