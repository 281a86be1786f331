"""The child process of one attempt, ``python -m zoo_worker.child ORDER``: runs the operation, reports over a pipe."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import InvalidInput
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.messages import EventBody
from zoo_sdk.operations import OperationSpec
from zoo_sdk.vocabulary import FailureCause
from zoo_worker.failures import failure_of, make_failure
from zoo_worker.handover import MAX_EVENT_BYTES, ChildOrder, ChildResult
from zoo_worker.isolation import isolate
from zoo_worker.state import write_atomically

PR_SET_PDEATHSIG = 1


class CancelledFlag:
    """Set by SIGTERM; the operation sees it at its next safe point."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self, _signal: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the attempt is to stop."""
        return self._is_set


class EventPipe:
    """Writes events as lines of JSON; usable from any thread of the operation."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - for a stray grandchild would hold the pipe open
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def send(self, event: EventBody) -> None:
        """Send one event."""
        line = event.model_dump_json().encode() + b"\n"
        if len(line) <= MAX_EVENT_BYTES:
            with self._lock:
                self._file.write(line)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the worker dies, however it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def find_spec(order: ChildOrder) -> OperationSpec:
    """The operation that this machine's own entry points offer; raises :class:`InvalidInput` if it is another one."""
    spec = find_operation(order.operation)
    if spec.version != order.operation_version:
        raise InvalidInput(
            f"The job asks for {spec.name} version {order.operation_version}; this worker has version {spec.version}.",
            hint="Submit the job again for the version that is installed, or install the other one.",
            facts={"field": "operation_version", "installed": spec.version},
        )
    return spec


def run_order(order: ChildOrder, cancelled: CancelledFlag, pipe: EventPipe) -> ChildResult:
    """Run the operation; every exception becomes a failure."""
    try:
        spec = find_spec(order)
        context = LocalContext(
            spec=spec,
            place=Workplace(order.scratch, order.outputs, order.checkpoints, order.shared_cache),
            seed=order.seed,
            devices=order.devices,
            threads=order.threads,
            emit=pipe.send,
            cancelled=cancelled.is_set,
        )
        run_operation(spec, order.params, order.inputs, context)
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit and KeyboardInterrupt too
        return ChildResult(failure=failure_of(error))
    return ChildResult(
        artifacts={port: tuple(items) for port, items in context.artifacts.items()},
        measurements=tuple(context.measurements),
        reports=tuple(context.reports),
    )


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Read the order, run it, write the result."""
    order = ChildOrder.model_validate_json(Path(arguments[0]).read_bytes())
    pipe = EventPipe(order.event_fd)
    try:
        isolate(order.isolation)
    except Exception as error:  # noqa: BLE001 - whatever the reason: never run unprotected what was to be protected
        message = f"The operation's process could not be isolated: {error}."
        failure = make_failure(FailureCause.INFRASTRUCTURE, "not-isolated", message)
        write_atomically(order.result, ChildResult(failure=failure).model_dump_json())
        return 0
    die_with_parent(order.parent_pid)  # only now: becoming another user would undo it
    cancelled = CancelledFlag()
    signal.signal(signal.SIGTERM, cancelled.set)
    result = run_order(order, cancelled, pipe)
    sys.stdout.flush()
    sys.stderr.flush()
    write_atomically(order.result, result.model_dump_json())
    return 0


if __name__ == "__main__":
    code = main()
    os._exit(code)  # frameworks' threads and exit handlers have crashed and hung here; the result is already written
