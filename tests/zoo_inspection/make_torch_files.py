"""Writes the files of torch that the inspection's tests look at: ``python make_torch_files.py FOLDER``."""

import sys
import types
from pathlib import Path

import torch

folder = Path(sys.argv[1])
torch.set_num_threads(1)


class Net(torch.nn.Module):
    """A convolution, its normalisation and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.bn = torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


class Reads(torch.nn.Module):
    """A program that opens a file when it runs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/passwd", False, 4)


net = Net().eval()
state = net.state_dict()
torch.save(state, folder / "state.pth")
torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(
    {"epoch": 3, "arch": "net", "state_dict": state, "best_acc1": 71.5, "optimizer": {"state": {}, "param_groups": []}},
    folder / "best.pth.tar",
)

yolo = types.ModuleType("models.yolo")
sys.modules["models"], sys.modules["models.yolo"] = types.ModuleType("models"), yolo
Net.__module__, Net.__qualname__, Net.__name__ = "models.yolo", "Model", "Model"
yolo.Model = Net
torch.save({"epoch": -1, "model": Net().half().eval(), "ema": None, "optimizer": None}, folder / "yolov5.pt")

torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), folder / "traced.pt")
torch.jit.save(torch.jit.script(Reads()), folder / "reads.pt")
batch = torch.export.Dim("batch")
program = torch.export.export(net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes={"x": {0: batch}})
torch.export.save(program, folder / "program.pt2")
