"""``zoo pull``, ``verify``, ``sign`` and ``keys`` against the real registry, which signs with a key of its own."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.test_catalogue_commands import safetensors
from tests.zoo_client.trust.test_verification import model_signing
from zoo_client import Client

from .conftest import Registry

_NUMBERS = count(1)


@pytest.fixture
def pulled(admin: Zoo, registry: Registry, tmp_path: Path) -> tuple[str, Path]:
    """A version with a base, pushed, sealed and pulled through the command."""
    number = next(_NUMBERS)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(safetensors(1))
    (weights / "notes.txt").write_text(f"number {number}")
    base, name = f"{registry.team}/trust-base-{number}", f"{registry.team}/trust-{number}"
    assert admin("push", base, str(weights), "--seal").code == 0
    pushed = admin("push", name, str(weights), "--base", f"{base}@1", "--seal")
    assert pushed.code == 0, pushed.err
    folder = tmp_path / "pulled"
    assert admin("pull", f"{name}@1", str(folder)).code == 0
    return f"{name}@1", folder


def test_a_version_that_was_just_sealed_is_pulled_with_its_proof_and_verified_offline(admin: Zoo, zoo: Zoo, pulled):
    reference, folder = pulled
    found = zoo("verify", str(folder), "--json")  # without an address or a token
    assert found.code == 0, found.err
    assert (found.json["reference"], found.json["files"]) == (reference, 2)
    assert found.json["ancestors"] == [reference.replace("trust-", "trust-base-")]
    (folder / "notes.txt").write_text("number 0")
    assert "was changed" in zoo("verify", str(folder)).err


def test_the_unmodified_model_signing_command_accepts_a_pulled_folder(admin: Zoo, pulled, tmp_path: Path):
    _, folder = pulled
    key = tmp_path / "registry.pem"
    key.write_text(admin("keys", "export").out)
    done = model_signing(folder, key)
    assert done.returncode == 0, done.stderr
    (folder / "more").touch()
    assert model_signing(folder, key).returncode == 1


def test_a_pulled_folder_is_pushed_without_its_proof(admin: Zoo, pulled, client: Client):
    reference, folder = pulled
    name = f"{reference.split('@', maxsplit=1)[0]}-again"
    assert admin("push", name, str(folder)).code == 0
    assert {file["path"] for file in client.models.versions.show(f"{name}@1")["files"]} == {
        "model.safetensors", "notes.txt",
    }  # fmt: skip


def test_after_a_rotation_the_new_key_is_trusted_because_the_old_one_vouches_for_it(
    admin: Zoo, zoo: Zoo, pulled, registry: Registry
):
    reference, folder = pulled
    first = admin("keys", "--json").json[0]
    command = [sys.executable, "-m", "zoo_server", "signing_key", "rotate"]
    subprocess.run(command, env=os.environ | registry.environ, check=True, capture_output=True, timeout=60)
    signed = admin("sign", reference, "--json").json
    rotated = admin("keys", "--json")
    assert rotated.json[0]["id"] != first["id"]
    assert [row["trusted"] for row in rotated.json if row["id"] in {first["id"], rotated.json[0]["id"]}] == [True, True]
    assert "vouches for" in rotated.err
    assert signed["provenance"]["signatures"][0]["keyid"] == rotated.json[0]["id"]
    assert admin("pull", reference, str(folder)).code == 0
    assert zoo("verify", str(folder), "--json").json["key"] == rotated.json[0]["id"]


def test_one_artifact_of_a_version_is_verified_as_a_part(admin: Zoo, zoo: Zoo, pulled, tmp_path: Path):
    reference, _ = pulled
    part = tmp_path / "part"
    assert admin("pull", f"{reference}#model.safetensors", str(part)).code == 0
    assert zoo("verify", str(part)).code == 1
    found = zoo("verify", str(part), "--partial", "--json")
    assert (found.code, found.json["missing"]) == (0, ["notes.txt"])


def test_a_pull_with_a_home_that_cannot_be_written_keeps_the_files_and_their_proof(
    admin: Zoo, pulled, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
):
    reference, _ = pulled
    folder, key = tmp_path / "elsewhere", tmp_path / "registry.pem"
    key.write_text(admin("keys", "export").out)
    (own_home / "config" / "zoo" / "keys.json").unlink()

    def refused(*_: object) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr("zoo_client.trust.store.TrustStore._write", refused)
    pulled_again = admin("pull", reference, str(folder))
    assert pulled_again.code == 0, pulled_again.err
    assert admin("verify", str(folder), "--key", str(key)).code == 0
