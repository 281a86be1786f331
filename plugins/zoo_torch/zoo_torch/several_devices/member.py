"""The process of one device: runs the whole operation on its share of every batch; the first one reports."""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import ZooError
from zoo_torch.processes import die_with_parent
from zoo_torch.several_devices.order import GROUP_STORE, REPORTS, Call, MemberFailure, Order, Report, failure_file

WAIT_FOR_OTHERS = timedelta(hours=2)
"""How long one may wait for another: one of them may be scoring a large test split."""
CULPRIT_FIRST_SECONDS = 10.0
"""A member that has lost another stays for so long, so that the launcher sees the end of the other one first."""


@dataclass
class MemberContext:
    """Implements :class:`zoo_sdk.context.OperationContext` for member ``index``.

    Cancelling is the operation's own process's part: it ends all members, and a checkpoint stays whole.
    """

    order: Order
    index: int
    seed: int = field(init=False)
    devices: tuple[str, ...] = field(init=False)
    threads: int = field(init=False)
    _checkpoints: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.seed = self.order.seed
        self.devices = (self.order.devices[self.index],)
        self.threads = max(1, self.order.threads // len(self.order.devices))
        self.scratch.mkdir(exist_ok=True)

    @property
    def scratch(self) -> Path:
        return self.order.folder / f"member-{self.index}"

    @property
    def shared_cache(self) -> Path:
        return self.order.shared_cache

    def output(self, port: str = "model") -> Path:
        folder = self.order.staging(port) if self.index == 0 else self.scratch / "outputs" / port
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def artifact(self, description: ArtifactDescription, *, port: str = "model") -> None:
        self._report("artifact", description=description.model_dump(mode="json"), port=port)

    def progress(self, done: float, total: float, message: str = "") -> None:
        self._report("progress", done=done, total=total, message=message)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        self._report("metric", name=name, value=float(value), step=step)

    def measure(
        self,
        name: str,
        value: float,
        *,
        dataset: str | None = None,
        split: str | None = None,
        runtime: str | None = None,
        device: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        where = {"dataset": dataset, "split": split, "runtime": runtime, "device": device}
        found = {**(details or {}), "devices": list(self.order.devices)}
        self._report("measure", name=name, value=float(value), details=found, **where)

    def log(self, message: str) -> None:
        self._report("log", message=message)

    def checkpoint(self, write: Callable[[Path], None]) -> None:
        if self.index == 0:
            self._checkpoints += 1
            path = self.order.folder / f"checkpoint-{self._checkpoints}"
            write(path)
            self._report("checkpoint", path=str(path))

    def restore(self) -> Path | None:
        return self.order.checkpoint

    def raise_if_cancelled(self) -> None:
        return None

    def _report(self, call: Call, **arguments: Any) -> None:
        if self.index == 0:
            with (self.order.folder / REPORTS).open("a") as file:
                file.write(Report(call=call, arguments=arguments).model_dump_json() + "\n")


def run_member(order_path: str) -> None:
    """Entry point that the launcher calls in each process."""
    die_with_parent()
    order = Order.model_validate_json(Path(order_path).read_bytes())
    index = int(os.environ["LOCAL_RANK"])
    try:
        _run(order, index)
    except BaseException as error:  # noqa: BLE001 - an operation may raise anything, SystemExit and KeyboardInterrupt too
        failure = _described(error)
        failure_file(order.folder, index).write_text(failure.model_dump_json())
        if failure.lost_others:
            time.sleep(CULPRIT_FIRST_SECONDS)
        os._exit(1)  # the others may never answer: leave without closing the process group with them


def _run(order: Order, index: int) -> None:
    on_gpu = order.devices[index].startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(order.devices[index])
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=f"file://{order.folder / GROUP_STORE}",
        rank=index,
        world_size=len(order.devices),
        timeout=WAIT_FOR_OTHERS,
    )
    params = _named(order.params_class).model_validate(order.params)
    _named(order.function)(params, order.inputs, MemberContext(order, index))
    dist.barrier()
    dist.destroy_process_group()


def _named(name: str) -> Any:
    """The object of ``module:name``, from an order that our own process wrote."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _described(error: BaseException) -> MemberFailure:
    lost = isinstance(error, dist.DistError) or any(text in str(error) for text in ("gloo", "closed by peer"))
    known = isinstance(error, ZooError)
    return MemberFailure(
        seconds=time.time(),
        kind=type(error).__name__,
        detail=error.detail if isinstance(error, ZooError) else f"{type(error).__name__}: {error}",
        hint=error.hint if isinstance(error, ZooError) else "",
        facts=error.facts if isinstance(error, ZooError) else {},
        lost_others=lost and not known,
    )
