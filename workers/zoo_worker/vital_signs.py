"""Samples of the machine while an attempt runs, under MLflow's own names of system metrics."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

SAMPLE_SECONDS = 5.0
MEGABYTE = 1e6


class VitalSigns:
    """Calls ``report(name, value, step)`` for each figure, every few seconds; cheap to call more often."""

    def __init__(self, report: Callable[[str, float, int], None], disk: Path) -> None:
        self._report = report
        self._disk = disk
        self._step = 0
        self._next_at = time.monotonic() + 1
        psutil.cpu_percent()  # the first call only sets the starting point
        network = psutil.net_io_counters()
        self._received, self._sent = (network.bytes_recv, network.bytes_sent) if network else (0, 0)

    def tick(self) -> None:
        """Take a sample if it is time."""
        if time.monotonic() >= self._next_at:
            self.sample()

    def sample(self) -> None:
        """Take a sample now."""
        self._next_at = time.monotonic() + SAMPLE_SECONDS
        for name, value in self._figures().items():
            self._report(f"system/{name}", value, self._step)
        self._step += 1

    def _figures(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(str(self._disk))
        figures = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.used / memory.total * 100,
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / MEGABYTE,
            "disk_available_megabytes": disk.free / MEGABYTE,
        }
        network = psutil.net_io_counters()
        if network:
            figures["network_receive_megabytes"] = (network.bytes_recv - self._received) / MEGABYTE
            figures["network_transmit_megabytes"] = (network.bytes_sent - self._sent) / MEGABYTE
        return figures
