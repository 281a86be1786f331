"""Pulling versions: manifests, verification, hostile names, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.zoo_client.byte_server import PREFIX, ByteServer
from zoo_client import Client
from zoo_client.errors import Gone
from zoo_client.pulling import verify_folder
from zoo_sdk.errors import Conflict, IntegrityError, InvalidInput, NotFound

MIB = 1024 * 1024
FILES = {"model.xml": b"<net/>", "weights/model.bin": Random(1).randbytes(300_000), "empty.txt": b""}


def pull(server: ByteServer, folder: Path, ref: str = "vision/net@3") -> Any:
    with Client(server.url, "zoo_secret") as client:
        return client.pull(ref, folder)


def test_a_pull_writes_the_files_and_a_manifest_by_which_they_verify_offline(
    server: ByteServer, tmp_path: Path
) -> None:
    server.add_version("vision/net@3", FILES)
    pulled = pull(server, tmp_path / "out")
    server.answers.clear()
    assert {path: (tmp_path / "out" / path).read_bytes() for path in FILES} == FILES
    manifest, faults = verify_folder(tmp_path / "out")
    assert (manifest.reference, manifest.registry, faults) == ("vision/net@3", server.url, [])
    assert manifest.version["created_by"] == "ada"
    assert pulled.fetched == 3


def test_a_second_pull_fetches_only_what_is_missing_or_wrong(server: ByteServer, tmp_path: Path) -> None:
    server.add_version("vision/net@3", FILES)
    pull(server, tmp_path)
    (tmp_path / "model.xml").write_text("<Net/>")
    (tmp_path / "empty.txt").unlink()
    assert pull(server, tmp_path).fetched == 2
    assert pull(server, tmp_path).fetched == 0
    assert verify_folder(tmp_path)[1] == []


def test_one_artifact_is_pulled_with_all_its_files(server: ByteServer, tmp_path: Path) -> None:
    artifacts = [{"name": "ir", "format": "openvino-ir", "files": ["model.xml", "weights/model.bin"]}]
    server.add_version("vision/net@3", FILES, artifacts=artifacts)
    pull(server, tmp_path, "vision/net@3#model.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.xml", "weights", "zoo-manifest.json"]
    with pytest.raises(NotFound, match="has no file 'other'"):
        pull(server, tmp_path, "vision/net@3#other")


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\evil",
        "C:evil",
        "a\x00b",
        "a//b",
        "x" * 500,
        ".",
        "zoo-manifest.json",
        "~/x",
    ],
)
def test_a_hostile_servers_names_are_refused_before_anything_is_written(
    server: ByteServer, tmp_path: Path, name: str
) -> None:
    server.add_version("vision/net@3", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(InvalidInput):
        pull(server, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def test_a_name_that_is_a_file_and_a_folder_is_refused(server: ByteServer, tmp_path: Path) -> None:
    server.add_version("vision/net@3", {"a": b"1", "a/b": b"2"})
    with pytest.raises(InvalidInput, match="as a file and as a folder"):
        pull(server, tmp_path)


def test_a_folder_that_is_a_link_is_not_followed(server: ByteServer, tmp_path: Path) -> None:
    server.add_version("vision/net@3", FILES)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").symlink_to(outside)
    with pytest.raises(Conflict, match="not a folder of its own"):
        pull(server, tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_a_digest_mismatch_leaves_nothing_under_the_final_name_and_no_manifest(
    server: ByteServer, tmp_path: Path
) -> None:
    server.add_version("vision/net@3", FILES)
    server.faults.flip_byte_at = 1000
    with pytest.raises(IntegrityError):
        pull(server, tmp_path)
    assert not (tmp_path / "weights" / "model.bin").exists()
    assert not (tmp_path / "zoo-manifest.json").exists()


def test_a_withdrawn_version_says_so(server: ByteServer, tmp_path: Path) -> None:
    server.add_version("vision/net@3", FILES, state="withdrawn")
    with pytest.raises(Gone, match="was withdrawn"):
        pull(server, tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"x"), "has 1 bytes, not 6"),
        (lambda path: path.write_bytes(b"<NET/>"), "has the digest"),
        (lambda path: (path.rename(path.with_name("moved")), path.symlink_to("moved")), "symbolic link"),
    ],
)
def test_verification_names_each_kind_of_damage(server: ByteServer, tmp_path: Path, damage: Any, reason: str) -> None:
    server.add_version("vision/net@3", FILES)
    pull(server, tmp_path)
    damage(tmp_path / "model.xml")
    faults = verify_folder(tmp_path)[1]
    assert [fault.path for fault in faults] == ["model.xml"]
    assert reason in faults[0].reason


def test_a_tampered_manifest_is_refused(server: ByteServer, tmp_path: Path) -> None:
    server.add_version("vision/net@3", FILES)
    pull(server, tmp_path)
    manifest = tmp_path / "zoo-manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][0]["path"] = "../../etc/passwd"
    manifest.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="segment"):
        verify_folder(tmp_path)
    manifest.write_text("{")
    with pytest.raises(IntegrityError):
        verify_folder(tmp_path)


def test_a_pull_killed_in_the_middle_goes_on_where_it_was(server: ByteServer, tmp_path: Path) -> None:
    data = Random(2).randbytes(24 * MIB)
    server.add_version("vision/net@3", {"model.bin": data})
    server.faults.hold_after = 10 * MIB
    command = [sys.executable, "-m", "zoo_client", "pull", "vision/net@3", str(tmp_path / "out"), "--connections", "1"]
    environ = {**os.environ, "ZOO_URL": server.url, "ZOO_TOKEN": "zoo_secret"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _noted(tmp_path / "out") and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    done = _noted(tmp_path / "out")
    assert done >= 4 * MIB
    assert not (tmp_path / "out" / "model.bin").exists()
    server.faults.hold_after = None
    server.release.set()
    server.seen.clear()
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "out" / "model.bin").read_bytes() == data
    assert server.ranges() == [f"bytes={done}-{len(data) - 1}"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.bin", "zoo-manifest.json"]


def _noted(folder: Path) -> int:
    """How far the journal says that the first range is."""
    for journal in folder.glob(".*.ranges"):
        lines = [line.split() for line in journal.read_text().splitlines()[1:] if line]
        return max((int(words[1]) for words in lines), default=0)
    return 0


def test_a_version_of_a_data_set_is_found_where_no_model_has_the_name(server: ByteServer, tmp_path: Path) -> None:
    version = server.add_version("vision/digits@1", {"a.txt": b"a"}, kind="dataset")
    route = f"{PREFIX}models/vision/digits/versions/1"
    server.answers[route.replace("models", "datasets")] = version
    server.files[route.replace("models", "datasets") + "/files/a.txt"] = b"a"
    del server.answers[route]
    pull(server, tmp_path, "vision/digits@1")
    assert (tmp_path / "a.txt").read_bytes() == b"a"
