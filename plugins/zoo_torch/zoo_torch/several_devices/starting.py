"""Runs an operation on all devices of its context, and passes on what the first of its processes reports."""

import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from zoo_sdk import errors
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import OperationError, OutOfMemory, ZooError
from zoo_sdk.operations import OperationParams
from zoo_torch.several_devices.order import (
    LAUNCHER_REPORT,
    REPORTS,
    LauncherReport,
    MemberFailure,
    Order,
    Report,
    failure_file,
)

ParamsT = TypeVar("ParamsT", bound=OperationParams)
Run = Callable[[ParamsT, Inputs, OperationContext], None]
WATCH_SECONDS = 0.1
END_SECONDS = 10.0
SIGKILL = 9
MAX_LOG = 2000


def on_all_devices(run: Run[ParamsT]) -> Run[ParamsT]:
    """Let an operation that trains run in one process for each device, where its context has more than one.

    Each process runs the whole function with a context of one device; :class:`zoo_torch.training.team.Team` makes the
    trainings one.  Batch sizes are those of all devices together.
    """

    @functools.wraps(run)
    def everywhere(params: ParamsT, inputs: Inputs, context: OperationContext) -> None:
        if len(context.devices) == 1:
            run(params, inputs, context)
        else:
            _run_members(f"{run.__module__}:{run.__name__}", params, inputs, context)

    return everywhere


def _run_members(function: str, params: OperationParams, inputs: Inputs, context: OperationContext) -> None:
    """Start the launcher and stay with it to its end.

    Raises:
        Cancelled: all processes were ended; the last checkpoint is whole.
        ZooError: what the first failing process raised.
        OutOfMemory: a process was killed.

    """
    kind = type(params)
    folder = Path(mkdtemp(prefix="devices-", dir=context.scratch))
    order = Order(
        function=function,
        params_class=f"{kind.__module__}:{kind.__name__}",
        params=params.model_dump(mode="json"),
        inputs=inputs,
        seed=context.seed,
        devices=context.devices,
        threads=context.threads,
        folder=folder,
        shared_cache=context.shared_cache,
        checkpoint=context.restore(),
    )
    order.path.write_text(order.model_dump_json())
    context.log(f"One process for each of {', '.join(order.devices)}.")
    relay = _Relay(order, context)
    with (folder / "launcher.log").open("wb") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "zoo_torch.several_devices.launcher", str(order.path)], stdout=log, stderr=log
        )
        try:
            while launcher.poll() is None:
                relay.pass_on()
                context.raise_if_cancelled()
                time.sleep(WATCH_SECONDS)
            relay.pass_on()
        finally:
            _end(launcher)
    if launcher.returncode != 0:
        # Whoever stops an attempt may signal all of its processes.
        context.raise_if_cancelled()
        raise _cause(order, launcher.returncode)


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """Its processes end with it: by its own hand, or by the kernel's when it is killed."""
    if launcher.poll() is None:
        launcher.terminate()
        try:
            launcher.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            launcher.kill()
            launcher.wait()


class _Relay:
    """Repeats the first member's calls on the operation's context."""

    def __init__(self, order: Order, context: OperationContext) -> None:
        self._order = order
        self._context = context
        self._path = order.folder / REPORTS
        self._position = 0

    def pass_on(self) -> None:
        """All that was reported since the last time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            # A last line without its end is still being written.
            for line in file:
                if line.endswith(b"\n"):
                    self._position += len(line)
                    self._repeat(Report.model_validate_json(line))

    def _repeat(self, report: Report) -> None:
        given = report.arguments
        if report.call == "checkpoint":
            self._context.checkpoint(functools.partial(_move, Path(given["path"])))
        elif report.call == "artifact":
            self._hand_over(ArtifactDescription.model_validate(given["description"]), given["port"])
        elif report.call in {"metric", "measure"}:
            getattr(self._context, report.call)(**{**given, "value": float(given["value"])})
        else:
            getattr(self._context, report.call)(**given)

    def _hand_over(self, description: ArtifactDescription, port: str) -> None:
        staging, output = self._order.staging(port), self._context.output(port)
        for name in description.files:
            target = output / name
            if not target.exists():  # another artifact may share the file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(staging / name, target)
        self._context.artifact(description, port=port)


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _cause(order: Order, code: int) -> ZooError:
    """The error of the member that failed first, and not of those that lost it."""
    found = [failure_file(order.folder, index) for index in range(len(order.devices))]
    failures = [MemberFailure.model_validate_json(file.read_bytes()) for file in found if file.exists()]
    own = sorted((one for one in failures if not one.lost_others), key=lambda one: one.seconds)
    if own:
        return _revived(own[0])
    report = order.folder / LAUNCHER_REPORT
    codes = LauncherReport.model_validate_json(report.read_bytes()).exit_codes if report.exists() else {}
    for index, exit_code in codes.items():
        if exit_code == -SIGKILL:
            return OutOfMemory(
                f"The process of device {order.devices[index]} was killed, most likely because memory ran out.",
                hint="Try a smaller batch_size, or fewer devices.",
            )
        if exit_code < 0:
            return OperationError(f"The process of device {order.devices[index]} ended with signal {-exit_code}.")
    if failures:
        return _revived(failures[0])
    return OperationError(f"The launcher ended with code {code}: {_tail(order.folder / 'launcher.log')}")


def _revived(failure: MemberFailure) -> ZooError:
    """The error as it was raised, if it is one of ours that can be made from its text."""
    kind: Any = getattr(errors, failure.kind, None)
    known = isinstance(kind, type) and issubclass(kind, ZooError) and kind is not errors.UnknownName
    made: ZooError = (kind if known else _nearest(failure.kind))(failure.detail, hint=failure.hint, facts=failure.facts)
    return made


def _nearest(kind: str) -> type[ZooError]:
    return errors.InvalidInput if kind == errors.UnknownName.__name__ else OperationError


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-MAX_LOG:]
