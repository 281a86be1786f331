"""The rooms: who may import whom is written down for all of them, and every file keeps the house rules."""

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo_sdk.environment import VARIABLES

ROOT = Path(__file__).parents[2]
FOLDERS = ("sdk", "inspection", "client", "workers", "vision", "onebox", "demo", "plugins")
"""Beside ``zoo_server`` at the root: where the rooms' distributions lie."""
MAY_IMPORT = {
    "zoo_sdk": set(),
    "zoo_inspection": {"zoo_sdk"},
    "zoo_server": {"zoo_sdk", "zoo_inspection"},
    "zoo_worker": {"zoo_sdk", "zoo_inspection", "zoo_client"},
    "zoo_client": {"zoo_sdk", "zoo_inspection"},
    "zoo_vision": {"zoo_sdk"},
    "zoo_onebox": {"zoo_sdk", "zoo_inspection", "zoo_client"},
    "zoo_demo": {"zoo_sdk", "zoo_inspection", "zoo_client", "zoo_onebox"},
}
PLUGINS_MAY_IMPORT = {"zoo_sdk", "zoo_inspection", "zoo_vision"}
LINES, LINES_OF_TESTS = 400, 450
"""A test file may hold a longer list of facts."""
LONGER_FILES: dict[str, str] = {}
"""Path and the reason why it is not split."""


def rooms() -> dict[str, Path]:
    """Every room's package by name, found on disk."""
    found = [path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("zoo_*/__init__.py")]
    return {path.name: path for path in (ROOT / "zoo_server", *found)}


def modules(*, tests: bool = True) -> list[Path]:
    """Our Python files, without migrations, which Django writes."""
    folders = [*rooms().values(), ROOT / "bench", *([ROOT / "tests"] if tests else [])]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py")) if "migrations" not in path.parts]
    assert len(files) > 100
    return files


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def forbidden_to(room: str) -> set[str]:
    """What import-linter's contracts keep the room from importing."""
    found: set[str] = set()
    parser = contracts()
    for section in parser.sections():
        contract = parser[section]
        if contract.get("type") == "forbidden" and room in contract["source_modules"].split():
            found |= set(contract["forbidden_modules"].split())
        if contract.get("type") == "independence" and room in contract["modules"].split():
            found |= set(contract["modules"].split()) - {room}
    return found


def test_the_rooms_are_the_known_ones():
    assert set(MAY_IMPORT) <= set(rooms())
    assert {"zoo_torch", "zoo_onnxruntime", "zoo_openvino"} <= set(rooms())


def test_import_linter_knows_every_room():
    assert set(contracts()["importlinter"]["root_packages"].split()) == set(rooms())


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_may_import_no_other_room_than_the_map_says(room: str):
    allowed = MAY_IMPORT.get(room, PLUGINS_MAY_IMPORT)
    assert forbidden_to(room) & set(rooms()) == set(rooms()) - allowed - {room}


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_no_folder_is_named_like_a_package_that_is_used():
    used = (
        {name for path in modules() for name in imported_names(path)} - set(rooms()) - {"bench", "tests", "zoo_example"}
    )
    assert {"torch", "django", "openvino", "celery", "mlflow"} <= used
    folders = {folder for path in modules() for folder in path.relative_to(ROOT).parents if folder.name}
    assert [str(folder) for folder in sorted(folders) if folder.name in used] == []


def test_every_module_says_in_its_first_line_what_it_is_for():
    silent = []
    for path in modules():
        text = path.read_text()
        docstring = ast.get_docstring(ast.parse(text), clean=False) or ""
        if text.strip() and len(docstring.split("\n", 1)[0].split()) < 2:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_no_file_is_too_long_to_be_read():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    limits = {path: LINES_OF_TESTS if path.startswith("tests/") else LINES for path in lengths}
    assert {path for path, length in lengths.items() if length > limits[path]} == set(LONGER_FILES)


def test_no_module_has_a_name_that_says_nothing():
    assert [path for path in modules() if path.stem in {"utils", "helpers", "common", "core", "misc"}] == []


def test_the_zoo_variables_are_those_that_the_code_reads():
    passed_on_only = ROOT / "onebox" / "zoo_onebox" / "parts.py"
    listed = ROOT / "sdk" / "zoo_sdk" / "environment.py"
    read = set()
    for path in modules(tests=False):
        if path not in {passed_on_only, listed} and "bench" not in path.parts:
            read |= set(re.findall(r"""["'](ZOO_[A-Z0-9_]+)["']""", path.read_text()))
    prefixes = {name for name in read if name.endswith("_")}
    read |= {name for name in VARIABLES if name.startswith(tuple(prefixes))}
    assert prefixes <= {"ZOO_", "ZOO_S3_"}
    assert read - prefixes == set(VARIABLES)


def test_the_servers_wheel_holds_the_server_with_its_data_and_no_other_room(tmp_path: Path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    source = tmp_path / "source"
    source.mkdir()
    (source / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for folder in ("zoo_server", *FOLDERS):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=200)
    (wheel,) = tmp_path.glob("zoo_server-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"zoo_server"}
    expected = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "zoo_server").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sorted(names) == sorted(expected)
    kinds = ("/templates/", "/migrations/0001_initial.py", "/py.typed", "/management/commands/")
    assert [kind for kind in kinds if not any(kind in name for name in names)] == []
