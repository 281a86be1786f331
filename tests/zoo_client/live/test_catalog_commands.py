"""``zoo catalog`` and ``zoo leaderboard`` against the real registry, with files on a real web server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from tests.zoo_server.catalog.remote_server import RemoteServer, remote_server

from .test_catalogue_commands import safetensors

CATALOGUE = """
catalogue: 1
name: live
title: A live zoo
sources: {{page: {{title: Its page}}}}
models:
  - name: live-net
    task: instance-segmentation
    versions:
      - key: one
        introduction: The first.
        strategy: [{{kind: training, method: normal training}}]
        artifacts: [{{format: safetensors, files: [{{address: "{url}/net.safetensors", label: st}}]}}]
        metrics: [{{name: mask_ap, value: 31.5, source: page}}]
"""


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with remote_server() as made:
        made.put("/net.safetensors", safetensors(5))
        yield made


def fetch_now(registry: Registry) -> None:
    """What the chores do, at once: the tests' registry has none."""
    environ = os.environ | registry.environ | {"ZOO_MIRROR_HOSTS": "127.0.0.1", "ZOO_MIRROR_NETWORKS": "127.0.0.0/8"}
    subprocess.run([sys.executable, "-m", "zoo_server", "mirror_files"], env=environ, check=True, timeout=120)


def test_a_catalogue_is_imported_fetched_and_pulled(
    admin: Zoo, registry: Registry, server: RemoteServer, tmp_path: Path
) -> None:
    file = tmp_path / "live.yaml"
    file.write_text(CATALOGUE.format(url=server.url))
    imported = admin("catalog", "import", str(file), "--team", registry.team, "--json")
    assert imported.code == 0, imported.err
    assert [(row["key"], row["outcome"]) for row in imported.json["rows"]] == [("live-net/one", "created")]
    reference = f"{registry.team}/live-net@1"

    assert "not mirrored" in admin("versions", "show", reference).out
    assert "not mirrored" in admin("models", "show", f"{registry.team}/live-net").out
    refused = admin("pull", reference, str(tmp_path / "out"), "--json")
    assert refused.code != 0
    assert refused.json["error"]["code"] == "not-mirrored"
    assert not (tmp_path / "out").exists()
    shown = admin("leaderboard", "--task", "instance-segmentation").out
    assert "not mirrored" in shown
    assert "31.50" in shown

    asked = admin("catalog", "fetch", f"{registry.team}/live-net", "--no-wait", "--json")
    assert (asked.json["queued"], asked.json["mirrored"]) == (1, 0)
    assert "queued" in admin("catalog", "status", "--model", "live-net").out
    fetch_now(registry)
    waited = admin("catalog", "fetch", reference, "--json")
    assert (waited.code, waited.json["mirrored"], waited.json["files"][0]["state"]) == (0, 1, "done")
    assert admin("pull", reference, str(tmp_path / "out"), "--json").json["fetched"] == 1
    assert (tmp_path / "out/net.safetensors").read_bytes() == safetensors(5)
    again = admin("catalog", "import", str(file), "--team", registry.team, "--json").json
    assert again["rows"][0]["outcome"] == "unchanged"


def test_a_file_that_cannot_be_fetched_ends_the_command_with_the_reason(
    admin: Zoo, registry: Registry, server: RemoteServer, tmp_path: Path
) -> None:
    file = tmp_path / "broken.yaml"
    text = CATALOGUE.format(url=server.url).replace("live", "broken").replace("net.safetensors", "gone.safetensors")
    file.write_text(text)
    assert admin("catalog", "import", str(file), "--team", registry.team).code == 0
    assert admin("catalog", "fetch", f"{registry.team}/broken-net", "--no-wait").code == 0
    fetch_now(registry)
    found = admin("catalog", "status", "--state", "failed", "--json").json["results"]
    assert [row["error"]["code"] for row in found] == ["remote-refused"]


def test_the_adlik_catalogue_is_known_by_name(admin: Zoo, registry: Registry) -> None:
    assert "adlik" in admin("catalog", "list").out
    imported = admin("catalog", "import", "adlik", "--team", registry.team, "--prefix", "adlik-")
    assert imported.code == 0, imported.err
    assert "42 created" in imported.err
    table = admin("leaderboard", "--task", "object-detection", "--catalogue", "adlik").out
    assert "47.60" in table
    assert "pth, onnx (not mirrored)" in table


def test_a_name_and_a_file_that_do_not_exist_are_told_apart(admin: Zoo, registry: Registry) -> None:
    unknown = admin("catalog", "import", "adlick", "--team", registry.team)
    assert unknown.code != 0
    assert "adlik" in unknown.err
    assert "no file" in admin("catalog", "import", "./adlik.yaml", "--team", registry.team).err
