"""A process in which OpenVINO and NNCF have run can still be told to stop."""

import subprocess
import sys
from pathlib import Path

import openvino as ov
import pytest

from zoo_openvino.signal_stack import signal_stack, signal_stack_kept


def test_a_signal_after_quantization_is_handled_and_kills_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.plugins.zoo_openvino.signalled", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    assert done.stdout.count("handled SIGTERM") == 2


def test_the_stack_of_signals_is_the_former_one_also_after_an_error() -> None:
    before = signal_stack()
    with pytest.raises(RuntimeError), signal_stack_kept():
        ov.Core().compile_model("missing.xml", "CPU")
    after = signal_stack()
    assert (after.address, after.flags, after.size) == (before.address, before.flags, before.size)
