"""Operations for the processes of several devices: each fails in its own way."""

import os
import signal
import time

import torch
import torch.distributed as dist

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.params import TrainParams


@on_all_devices
def refuse(params: TrainParams, inputs: Inputs, context: OperationContext) -> None:
    """The second process refuses while the first waits for it."""
    context.metric("before", 1.0, 1)
    if dist.get_rank() == 1:
        raise InvalidInput("Device 1 dislikes it.", hint="Be kind.", facts={"field": "epochs"})
    dist.all_reduce(torch.ones(1))


@on_all_devices
def die(params: TrainParams, inputs: Inputs, context: OperationContext) -> None:
    """The second process is killed while the first waits for it."""
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(torch.ones(1))


@on_all_devices
def wait(params: TrainParams, inputs: Inputs, context: OperationContext) -> None:
    """Tell the process ids, write a checkpoint, and wait for ever."""
    context.checkpoint(lambda path: path.write_text("whole"))
    ids = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(ids, torch.tensor([os.getpid()]))
    context.log(f"processes {' '.join(str(int(one)) for one in ids)} {os.getppid()}")
    time.sleep(600)
