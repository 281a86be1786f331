"""No bytes crash an inspection, make it run anything, or cost more than 256 MiB and 10 s."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zoo_inspection.fuzzing import mutated, originals
from zoo_inspection import inspect
from zoo_inspection.inspection import OUR_FAULT

ROOT = Path(__file__).parents[2]
MAX_SECONDS, MAX_MIB = 10, 256
CASES = 1000


def confined(*arguments: str | Path) -> dict[str, object]:
    """The outcome of a module that inspects files in a process that may do nothing else."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=880, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout)) if done.stdout else {}


def test_damaged_files_of_all_formats_are_inspected_within_bounds(
    torch_files: dict[str, Path], emotion_h5: Path, emotion_tflite: Path
):
    files = [*sorted(torch_files.values()), emotion_h5, emotion_tflite]
    told = confined("tests.zoo_inspection.fuzzing", "--cases", str(CASES), "--seed", "11", *files)
    assert (told["cases"], told["faults"]) == (CASES, [])
    assert told["slowest_s"] < MAX_SECONDS
    assert told["peak_mib"] < MAX_MIB


@pytest.mark.slow
@pytest.mark.timeout(900)  # of processor time it takes a minute; a busy machine may take its time
def test_files_made_to_be_expensive_stay_within_bounds(tmp_path: Path):
    confined("tests.zoo_inspection.hostile", "write", tmp_path)
    told = confined("tests.zoo_inspection.hostile", "inspect", tmp_path)
    assert told["faults"] == []
    seconds = dict(told["seconds"])  # type: ignore[call-overload]
    assert max(seconds.values()) < MAX_SECONDS, seconds
    assert told["peak_mib"] < MAX_MIB


def test_a_confined_inspection_that_runs_something_would_be_noticed():
    code = "import tests.zoo_inspection.fuzzing as f; f.forbid_effects(); import os; os.system('true')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "os.system" in done.stderr) == (70, True)


KNOWN = originals([])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(range(len(KNOWN))), st.randoms(use_true_random=False), st.binary(max_size=64))
def test_any_damage_yields_an_inspection_that_json_can_hold(number: int, chance: object, tail: bytes):
    data = mutated(KNOWN[number], KNOWN, chance) + tail  # type: ignore[arg-type]
    found = inspect(io.BytesIO(data), name="m.onnx")
    json.dumps([found.facts, found.findings], allow_nan=False)
    assert OUR_FAULT not in str(found.findings)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x04", b"\x08\x09\x3a", b""])
)
def test_any_bytes_yield_an_inspection(data: bytes, start: bytes):
    found = inspect(io.BytesIO(start + data), name="m.pkl")
    assert OUR_FAULT not in str(found.findings)
