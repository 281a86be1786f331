"""Parallel test processes keep the tests together that share what they start."""

import subprocess
import sys
from pathlib import Path

from tests.distribution import SYSTEM, group_of

ROOT = Path(__file__).parents[2]
TEST = """
import os, pathlib, time
import pytest

@pytest.mark.parametrize("number", range(6))
def test_where(number):
    time.sleep(0.02)
    with pathlib.Path(os.environ["WHERE"]).open("a") as file:
        file.write(f"{__file__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


def test_the_system_tests_are_one_group_and_every_other_file_is_its_own():
    assert group_of("tests/system/test_a.py::test_x[a::b]") == group_of("tests/system/test_b.py::test_y") == SYSTEM
    assert group_of("tests/zoo_sdk/test_a.py::test_x") == "tests/zoo_sdk/test_a.py"


def test_a_group_runs_in_one_process_and_groups_in_several(tmp_path: Path):
    for name in ("system/test_a", "system/test_b", "test_c", "test_d", "test_e"):
        path = tmp_path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEST)
    where = tmp_path / "where"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.distribution", "-p", "no:django", "-c", "/dev/null"]
    subprocess.run(
        [*command, f"--rootdir={tmp_path}", "--import-mode=importlib", "-n2", "--dist=loadgroup", "tests"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "", "WHERE": str(where)}, check=True, timeout=100,
    )  # fmt: skip
    places: dict[str, set[str]] = {}
    for line in where.read_text().splitlines():
        file, worker = line.split()
        places.setdefault(group_of(str(Path(file).relative_to(tmp_path))), set()).add(worker)
    assert len(places) == 4
    assert [workers for workers in places.values() if len(workers) != 1] == []
    assert set.union(*places.values()) == {"gw0", "gw1"}
