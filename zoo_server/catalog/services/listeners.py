"""Telling other apps that a version was sealed, without knowing them: they register a function when they are ready.

Called inside the transaction that seals, so that a listener can write a row of its own that stands or falls with the
sealing (an outbox).  It must be quick, and its errors undo the sealing; anything slow belongs after the commit.
"""

from collections.abc import Callable

from zoo_server.catalog.models import Version

Listener = Callable[[Version], None]
_LISTENERS: list[Listener] = []


def on_seal(listener: Listener) -> None:
    """Have ``listener`` called with every version that is sealed.  Registering twice counts once."""
    if listener not in _LISTENERS:
        _LISTENERS.append(listener)


def tell_sealed(version: Version) -> None:
    """Call the listeners, inside the caller's transaction."""
    for listener in _LISTENERS:
        listener(version)
