"""The specs are data: they name real functions and import no framework."""

import subprocess
import sys

import pytest

from zoo_sdk.discovery import find_operation, load_implementation

NAMES = ("onnxruntime.benchmark", "onnxruntime.evaluate")


def test_importing_the_specs_imports_no_framework() -> None:
    program = (
        "import sys, zoo_onnxruntime.specs; "
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch', 'PIL') if sys.modules.get(name)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_an_installed_operation_names_a_function_that_exists(name: str) -> None:
    spec = find_operation(name)
    assert callable(load_implementation(spec))
    assert [port.name for port in spec.inputs if port.measured] == ["model"]
    assert spec.outputs == ()
    assert spec.manifest.queue == "onnxruntime.cpu"
