"""``example.wait``: time that passes, and failures on request, for tests of whatever runs operations."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from zoo_example.centroids import write_model
from zoo_example.specs import WaitParams
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput, OperationError, Unavailable

POLL_SECONDS = 0.02
FOREVER_SECONDS = 3600


def run(params: WaitParams, _inputs: Inputs, context: OperationContext) -> None:
    """Wait; see :class:`zoo_example.specs.WaitParams`.  The output depends on the parameters and the seed only."""
    saved = context.restore()
    done = int(saved.read_text()) if saved else 0
    if saved:
        context.log(f"Resumed after step {done}.")
    for number in range(params.print_lines):
        print(f"stdout line {number}")
        print(f"stderr line {number}", file=sys.stderr)
    for step in range(done + 1, params.steps + 1):
        _wait(params.seconds, context)
        if step == params.fail_at_step and not (params.fail_once and saved):
            _fail(params, step)
        context.metric("step", step, step)
        context.checkpoint(partial(_save, step=step))
        context.progress(step, params.steps, f"step {step} of {params.steps}")
    context.raise_if_cancelled()
    context.progress(params.steps, params.steps, "waited")
    if params.failure != "no_output":
        write_model({"steps": params.steps, "seed": context.seed, "centroids": [[float(params.steps)]]}, context)


def _save(path: Path, *, step: int) -> None:
    path.write_text(str(step))


def _wait(seconds: float, context: OperationContext) -> None:
    end = time.monotonic() + seconds
    context.raise_if_cancelled()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))
        context.raise_if_cancelled()


def _fail(params: WaitParams, step: int) -> None:
    match params.failure:
        case "raise":
            raise OperationError(f"Failed in step {step}, as asked.", facts={"step": step})
        case "unavailable":
            raise Unavailable(f"Something was away in step {step}, as asked.")
        case "invalid":
            raise InvalidInput(f"Found the input wrong in step {step}, as asked.")
        case "exit":
            os._exit(params.exit_code)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            _allocate(params.memory_mib)
        case "hang":
            _hang()
        case "orphan":
            subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER_SECONDS})"])
            _hang()


def _allocate(mebibytes: int) -> None:
    """Take memory and touch it, so that it counts; what follows is the limit's business."""
    block = bytearray(mebibytes * 2**20)
    block[::4096] = b"\1" * len(block[::4096])
    time.sleep(POLL_SECONDS)


def _hang() -> None:
    """Deaf to SIGTERM, as code in a C library is."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + FOREVER_SECONDS
    while time.monotonic() < end:
        time.sleep(POLL_SECONDS)
