"""What the demo makes: the jobs in order, each with its operation, inputs and parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TEAM = "zoo"
TEACHER = f"{TEAM}/demo-teacher"
STUDENT = f"{TEAM}/demo-student"
TRAINING = {"epochs": 3, "batch_size": 128, "learning_rate": 0.1, "evaluate_each_epoch": False}


@dataclass(frozen=True)
class Making:
    """A job that makes a version.  ``inputs`` name other makings by key (``data`` is the data set)."""

    key: str
    title: str
    operation: str
    inputs: Mapping[str, str]
    output: str
    params: Mapping[str, Any] = field(default_factory=dict)
    evaluate: str = ""
    benchmark: str = ""


def makings(*, small: bool) -> list[Making]:
    """The versions to make, in order; ``small`` shortens the training for the 1,797 digits."""
    epochs = {"epochs": 12} if small else {}
    return [
        Making(
            key="teacher",
            title="train a teacher",
            operation="torch.train",
            inputs={"data": "data"},
            output=TEACHER,
            params={"architecture": "zoo:resnet_small"} | TRAINING | epochs,
            evaluate="torch.evaluate",
            benchmark="torch.benchmark",
        ),
        Making(
            key="student",
            title="train the student alone",
            operation="torch.train",
            inputs={"data": "data"},
            output=STUDENT,
            params={"architecture": "zoo:conv_medium"} | TRAINING | epochs,
            evaluate="torch.evaluate",
            benchmark="torch.benchmark",
        ),
        Making(
            key="distilled",
            title="distil the student",
            operation="torch.distill",
            inputs={"student": "student", "teacher": "teacher", "data": "data"},
            output=STUDENT,
            params={"temperature": 2.0, "kd_weight": 0.9} | TRAINING | epochs,
            evaluate="torch.evaluate",
            benchmark="torch.benchmark",
        ),
        Making(
            key="onnx",
            title="export to ONNX",
            operation="torch.export_onnx",
            inputs={"model": "distilled", "data": "data"},
            output=STUDENT,
            evaluate="onnxruntime.evaluate",
            benchmark="onnxruntime.benchmark",
        ),
        Making(
            key="openvino",
            title="convert to OpenVINO",
            operation="openvino.convert",
            inputs={"model": "onnx", "data": "data"},
            output=STUDENT,
            evaluate="openvino.evaluate",
            benchmark="openvino.benchmark",
        ),
        Making(
            key="int8",
            title="quantize to INT8",
            operation="openvino.quantize",
            inputs={"model": "openvino", "data": "data"},
            output=STUDENT,
            evaluate="openvino.evaluate",
            benchmark="openvino.benchmark",
        ),
    ]
