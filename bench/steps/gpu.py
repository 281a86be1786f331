"""How busy a GPU is while something runs, as its driver tells it."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SAMPLE_SECONDS = 0.5


@contextmanager
def watched_utilisation() -> Iterator[list[float]]:
    """Sample ``nvidia-smi`` until the block ends: percent of the time in which a kernel ran; empty without the tool."""
    found: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            found.append(_utilisation())

    thread = threading.Thread(target=sample, name="utilisation", daemon=True)
    if shutil.which("nvidia-smi"):
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


def _utilisation() -> float:
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
