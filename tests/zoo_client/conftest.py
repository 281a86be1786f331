"""Fixtures of the client's tests: a home of the test's own, and the small server that misbehaves."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.byte_server import ByteServer
from zoo_client.cli.main import main


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the developer's login, journals or proxies."""
    home = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in (
        "ZOO_URL",
        "ZOO_TOKEN",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def server() -> Iterator[ByteServer]:
    made = ByteServer()
    yield made
    made.stop()


@dataclass(frozen=True)
class Outcome:
    """What a call of ``zoo`` left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which with ``--json`` must be one JSON document and nothing else."""
        return json.loads(self.out)


Zoo = Callable[..., Outcome]


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """Runs the command in this process, with environment variables if given."""

    def run(*words: str, stdin: str = "", **environ: str) -> Outcome:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.setattr("sys.stdin", io.StringIO(stdin))
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main(list(words))
        out, err = capsys.readouterr()
        code = ended.value.code
        assert "Traceback" not in err
        return Outcome(code if isinstance(code, int) else 0, out, err)

    return run
