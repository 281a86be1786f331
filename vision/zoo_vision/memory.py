"""How much memory this process has taken at most since a moment that the caller chooses."""

import re
import resource
import sys
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


class PeakMemory:
    """The largest resident memory since it was made, where the system can forget the former peak (Linux).

    Elsewhere it is that of the whole process; ``since_start`` says so.
    """

    def __init__(self) -> None:
        self.before = resident_bytes()
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
            self.since_start = False
        except OSError:
            self.since_start = True

    def peak(self) -> int:
        """Bytes."""
        found = _status_bytes("VmHWM")
        return found if found is not None else _peak_of_process()


def resident_bytes() -> int:
    """The memory that this process has now; where the system does not tell, the most that it ever had."""
    found = _status_bytes("VmRSS")
    return found if found is not None else _peak_of_process()


def _status_bytes(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _peak_of_process() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
