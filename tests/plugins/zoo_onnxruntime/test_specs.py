"""The specs are data: they name real functions and import no framework."""

import subprocess
import sys

import pytest

from zoo_sdk.discovery import find_operation, load_implementation
from zoo_sdk.vocabulary import LineageRole, Precision, StrategyKind

MEASURING = ("onnxruntime.benchmark", "onnxruntime.evaluate")
CONVERTING = ("onnxruntime.optimise", "onnxruntime.convert_fp16", "onnxruntime.convert_opset")


def test_importing_the_specs_imports_no_framework() -> None:
    program = (
        "import sys, zoo_onnxruntime.specs; "
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch', 'PIL') if sys.modules.get(name)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MEASURING)
def test_an_installed_operation_names_a_function_that_exists(name: str) -> None:
    spec = find_operation(name)
    assert callable(load_implementation(spec))
    assert [port.name for port in spec.inputs if port.measured] == ["model"]
    assert spec.outputs == ()
    assert spec.manifest.queue == "onnxruntime.cpu"


@pytest.mark.parametrize("name", [*CONVERTING, "onnxruntime.quantize"])
def test_what_makes_a_model_leaves_lineage_and_is_an_edge_from_onnx_to_onnx(name: str) -> None:
    spec = find_operation(name)
    assert callable(load_implementation(spec))
    converting = name in CONVERTING
    assert spec.strategy is (StrategyKind.CONVERSION if converting else StrategyKind.QUANTIZATION)
    assert spec.inputs[0].role is (LineageRole.CONVERTED_FROM if converting else LineageRole.BASE)
    assert [(edge.source, edge.target) for edge in spec.edges] == [("onnx", "onnx")]


def test_edges_say_which_precision_they_make_and_what_they_ask() -> None:
    edges = {name: find_operation(name).edges[0] for name in (*CONVERTING, "onnxruntime.quantize")}
    assert edges["onnxruntime.quantize"].precision is Precision.INT8
    assert edges["onnxruntime.convert_fp16"].precision is Precision.FP16
    assert edges["onnxruntime.optimise"].precision is None
    assert edges["onnxruntime.convert_opset"].asks == ("target_opset",)
