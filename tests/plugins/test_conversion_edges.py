"""The edges of all installed plugins together lead from the formats that come in to every runtime."""

import pytest

from zoo_sdk.discovery import discover_operations
from zoo_sdk.vocabulary import Precision
from zoo_server.pipelines.conversions.graph import OfferedEdge, Start, Wanted, plan_path

EDGES = [
    OfferedEdge(spec.name, number, edge)
    for spec in discover_operations().values()
    for number, edge in enumerate(spec.edges)
]


@pytest.mark.parametrize(
    ("source", "target", "precision", "operations"),
    [
        ("keras-h5", "onnx", Precision.FP32, ["keras.export_onnx"]),
        ("keras", "openvino-ir", Precision.FP16, ["keras.export_onnx", "openvino.convert"]),
        ("keras-h5", "tflite", Precision.FP16, ["keras.export_onnx", "tflite.convert"]),
        ("darknet", "openvino-ir", Precision.FP32, ["darknet.export_onnx", "openvino.convert"]),
        ("safetensors", "tflite", Precision.FP32, ["torch.export_onnx", "tflite.convert"]),
        ("keras-h5", "tensorrt-plan", Precision.FP32, ["keras.export_onnx", "tensorrt.build"]),
        ("onnx", "tensorrt-plan", Precision.FP16, ["onnxruntime.convert_fp16", "tensorrt.build"]),
        ("onnx", "tensorrt-plan", Precision.INT8, ["onnxruntime.quantize", "tensorrt.build"]),
    ],
)
def test_the_cheapest_way_is_the_expected_one(
    source: str, target: str, precision: Precision, operations: list[str]
) -> None:
    path = plan_path([Start(source, Precision.FP32, "file")], EDGES, Wanted(target, precision))
    assert [step.offered.operation for step in path.steps] == operations, path.problem
