"""The parts of the transfer bench: bare server, counting relay, memory, room on the disk; and a tiny whole run."""

import os
import re
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.memory import memory_bytes, watched_memory
from bench.relay import counting_relay
from bench.sendfile_server import bare_server
from bench.transfer import MIB, NoDiskSpace, check_room, file_system_of, measure, write_random


def test_the_bare_server_sends_its_file_and_ends_with_its_client(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB + 7)
    (tmp_path / "file").write_bytes(content)
    with bare_server(tmp_path / "file") as url:
        fetched = [subprocess.run(["curl", "-sSf", url], check=True, capture_output=True).stdout for _ in range(2)]
    assert fetched == [content, content]
    assert subprocess.run(["curl", "-sf", "-m", "5", url], check=False).returncode != 0


def test_the_relay_changes_nothing_and_counts_both_directions(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * MIB)
    with bare_server(tmp_path / "file") as url, counting_relay(url) as relay:
        with urllib.request.urlopen(f"{relay.url}/file") as answer:
            assert answer.read() == b"x" * MIB
        assert 20 < relay.sent < 1000
        assert MIB < relay.received < MIB + 1000


def test_memory_that_is_taken_shows_in_the_peak() -> None:
    own = [psutil.Process()]
    before = memory_bytes(own)
    with watched_memory(own, every=0.01) as peak:
        block = bytearray(os.urandom(64 * MIB))
        while peak.bytes < before + 60 * MIB and peak.samples < 1000:
            pass
        del block
    assert before > MIB
    assert peak.bytes > before + 60 * MIB


def test_a_process_that_has_ended_takes_no_memory() -> None:
    process = subprocess.Popen(["sleep", "60"])
    watched = psutil.Process(process.pid)
    assert memory_bytes([watched]) > 0
    process.kill()
    process.wait()
    assert memory_bytes([watched]) == 0


def test_a_run_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.transfer.shutil.disk_usage", lambda _: SimpleNamespace(free=7 * 1024 * MIB))
    check_room(tmp_path, 1024 * MIB, 2)
    with pytest.raises(NoDiskSpace, match=re.escape("7,168 MiB free; this needs 8,192")):
        check_room(tmp_path, 1024 * MIB, 3)


def test_random_files_have_their_size_and_nothing_in_common(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_random(tmp_path / name, 9 * MIB + 1)
    one, two = ((tmp_path / name).read_bytes() for name in ("a", "b"))
    assert len(one) == len(two) == 9 * MIB + 1
    assert one != two
    assert file_system_of(tmp_path) != "unknown"


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(600)
def test_a_tiny_run_moves_bytes_in_and_out_of_a_zoo() -> None:
    with tempfile.TemporaryDirectory(prefix="zb") as folder:
        report = measure(Path(folder), size=9 * MIB, repeats=1).report()
    figures = {figure.name: figure for figure in report.figures}
    assert figures["the same bytes again: sent by the client"].verdict == "met"
    assert figures["web server's memory while downloading, above idle"].value < 1000
    assert figures["zoo pull : bare curl, speed"].value > 0
    assert set(report.raw["Uploads"]) == {"sha256", "sha256sum", "cp and fsync", "first upload", "again"}
    assert len(report.raw["Downloads"]) == 6
