"""The launcher's process, ``python -m zoo_torch.several_devices.launcher ORDER``: torchrun's agent on one machine.

The agent starts a process for each device in our own process group, watches them, and ends all when one fails.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from zoo_torch.processes import die_with_parent
from zoo_torch.several_devices.member import run_member
from zoo_torch.several_devices.order import LAUNCHER_REPORT, RENDEZVOUS, LauncherReport, Order

LOOPBACK = {
    # All processes are on this machine: nothing listens to the network.
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
    # The agent would otherwise listen on all interfaces, for a store that we do not use.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}
WATCH_SECONDS = 0.2


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Run all members to the end; exit code 1 when one failed."""
    die_with_parent()
    order = Order.model_validate_json(Path(arguments[0]).read_bytes())
    os.environ |= LOOPBACK
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=len(order.devices),
        run_id="zoo",
        rdzv_backend="c10d",
        rdzv_endpoint=str(order.folder / RENDEZVOUS),
        rdzv_configs={"store_type": "file"},
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=WATCH_SECONDS,
        start_method="spawn",
    )
    try:
        elastic_launch(config, run_member)(str(order.path))
    except ChildFailedError as error:
        codes = {index: failure.exitcode for index, failure in error.failures.items()}
        (order.folder / LAUNCHER_REPORT).write_text(LauncherReport(exit_codes=codes).model_dump_json())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
