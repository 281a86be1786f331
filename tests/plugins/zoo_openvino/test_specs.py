"""The specs are data: they name real functions and import no framework; nothing sends usage data."""

import subprocess
import sys

import pytest

from zoo_sdk.discovery import find_operation, load_implementation
from zoo_sdk.vocabulary import LineageRole, StrategyKind

NAMES = ("openvino.benchmark", "openvino.convert", "openvino.evaluate", "openvino.quantize")


def run_python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_specs_imports_no_framework() -> None:
    program = (
        "import sys, zoo_openvino.specs; "
        "print([name for name in ('numpy', 'openvino', 'nncf', 'torch', 'PIL') if sys.modules.get(name)])"
    )
    assert run_python(program) == "[]"


def test_the_telemetry_package_is_never_loaded_by_openvino_or_nncf() -> None:
    program = (
        "import sys, zoo_openvino.quantization, openvino.tools.ovc; "
        "from openvino.tools.ovc.telemetry_utils import tm; from nncf.telemetry import telemetry; "
        "print([name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module], "
        "tm.__name__, telemetry is sys.modules['nncf.telemetry.wrapper'].telemetry, type(telemetry).__module__)"
    )
    assert run_python(program) == "[] openvino.tools.ovc.telemetry_stub True unittest.mock"


@pytest.mark.parametrize("name", NAMES)
def test_an_installed_operation_names_a_function_that_exists(name: str) -> None:
    spec = find_operation(name)
    assert callable(load_implementation(spec))
    assert spec.manifest.queue == "openvino.cpu"


def test_ports_leave_the_lineage_that_the_issue_asks_for() -> None:
    convert, quantize = find_operation("openvino.convert"), find_operation("openvino.quantize")
    assert convert.strategy is StrategyKind.CONVERSION
    assert convert.inputs[0].role is LineageRole.CONVERTED_FROM
    assert quantize.strategy is StrategyKind.QUANTIZATION
    assert [port.role for port in quantize.inputs] == [LineageRole.BASE, LineageRole.CALIBRATED_ON, None]
