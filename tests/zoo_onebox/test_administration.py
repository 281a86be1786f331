"""``zoo admin``: which management command of the registry it runs, and with what."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zoo_onebox import administration, registry
from zoo_onebox.home import Home
from zoo_sdk.errors import Conflict, InvalidInput

RUNNER = CliRunner()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    made: list[tuple[Any, ...]] = []

    def run_beside(home: Home, *words: str, environ: dict[str, str]) -> int:
        made.append((home.root, words, environ))
        return 3 if "--verify" in words else 0

    monkeypatch.setattr(administration, "run_beside", run_beside)
    return made


def test_older_inspections_are_asked_for_by_again(calls: list[Any], tmp_path: Path) -> None:
    words = ["inspect", "--again", "--limit", "5", "--json", "--home", str(tmp_path)]
    assert RUNNER.invoke(administration.admin, words).exit_code == 0
    assert calls == [(tmp_path, ("inspect_again", "--json", "--limit", "5"), {})]
    refused = RUNNER.invoke(administration.admin, ["inspect", "--home", str(tmp_path)])
    assert isinstance(refused.exception, InvalidInput)


def test_a_store_is_moved_with_the_bucket_of_the_callers_environment(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_S3_BUCKET", "zoo")
    monkeypatch.setenv("ZOO_S3_SECRET_ACCESS_KEY", "secret")
    words = ["store", "migrate", "--to", "s3", "--verify", "--home", str(tmp_path)]
    assert RUNNER.invoke(administration.admin, words).exit_code == 3
    assert calls == [(tmp_path, ("store_migrate", "--to", "s3", "--verify"), {"ZOO_S3_BUCKET": "zoo"})]


def test_the_command_runs_with_the_environment_of_the_running_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.create(tmp_path / "home")
    with pytest.raises(Conflict, match="No Zoo runs"):
        registry.run_beside(home, "inspect_again")
    home.prepare_run()
    specification = {
        "command": [sys.executable, "-m", "zoo_server", "bootstrap"], "environment": {"A": "1"}, "inherited": [],
        "secret_files": {}, "user": None, "directory": str(tmp_path), "adopts_orphans": False, "orphan_signal": "TERM",
    }  # fmt: skip
    (home.specifications / "bootstrap.json").write_text(json.dumps(specification))
    seen: list[Any] = []

    def run(command: list[str], **_options: Any) -> Any:
        seen.append(json.loads(Path(command[-1]).read_text()))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(registry.subprocess, "run", run)
    assert registry.run_beside(home, "store_migrate", "--to", "s3", environ={"ZOO_S3_BUCKET": "zoo"}) == 0
    assert seen[0]["command"][1:] == ["-m", "zoo_server", "store_migrate", "--to", "s3"]
    assert seen[0]["environment"] == {"A": "1", "ZOO_S3_BUCKET": "zoo"}
