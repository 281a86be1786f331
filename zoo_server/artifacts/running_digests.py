"""sha256 states of uploads that this process has received from their first byte on.

When all parts of an upload came through one process, its digest is known without reading the file again.  A state is
used only if it stands exactly where the database says the upload is, so another process's parts are never skipped.
"""

from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from hashlib import _Hash

MAX_STATES = 512


class RunningDigests:
    """The newest states by upload; the oldest are forgotten, which costs one more reading of that file."""

    def __init__(self) -> None:
        self._states: OrderedDict[UUID, tuple[int, _Hash]] = OrderedDict()
        self._lock = Lock()

    def take(self, upload_id: UUID, offset: int) -> "_Hash | None":
        """The state at ``offset``, a fresh one at 0, or None.  The caller owns it until :meth:`put`."""
        with self._lock:
            known = self._states.pop(upload_id, None)
        if offset == 0:
            return sha256()
        return known[1] if known and known[0] == offset else None

    def put(self, upload_id: UUID, offset: int, state: "_Hash | None") -> None:
        """Remember the state at ``offset``; None is ignored."""
        if state is None:
            return
        with self._lock:
            self._states[upload_id] = (offset, state)
            while len(self._states) > MAX_STATES:
                self._states.popitem(last=False)
