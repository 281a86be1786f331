"""The commands about models, data sets, versions and accounts against the real registry."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from zoo_client import Client


def safetensors(seed: int, kilobytes: int = 4) -> bytes:
    """A valid safetensors file."""
    data = bytes((index * 7 + seed) % 256 for index in range(1024 * kilobytes))
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "model.safetensors").write_bytes(safetensors(1))
    (folder / "README.txt").write_text("about\n")
    return folder


def push(admin: Zoo, name: str, folder: Path, *more: str) -> Any:
    found = admin("push", name, str(folder), "--json", *more)
    assert found.code == 0, found.err
    return found.json


def test_a_version_goes_up_through_all_states_and_comes_down_verified(
    admin: Zoo, registry: Registry, model_folder: Path, tmp_path: Path
) -> None:
    name = f"{registry.team}/round-trip"
    card = tmp_path / "card.md"
    card.write_text("---\nlicense: apache-2.0\n---\n# A card\n")
    pushed = push(
        admin, name, model_folder, "--precision", "fp32", "--metric", "top1=91.5", "--split", "test",
        "--card", str(card), "--licence", "Apache-2.0", "--task", "image-classification", "--notes", "first",
        "--parent", "base=https://example.org/net.pth",
    )  # fmt: skip
    assert (pushed["state"], pushed["number"]) == ("draft", 1)
    assert [item["format"] for item in pushed["artifacts"]] == ["safetensors"]
    assert pushed["parents"][0]["external_uri"] == "https://example.org/net.pth"
    assert admin("seal", f"{name}@1", "--json").json["state"] == "candidate"
    assert admin("approve", f"{name}@1", "-m", "good", "--json").json["state"] == "approved"
    assert admin("alias", "set", f"{name}@1", "production", "--json").code == 0
    listed = admin("alias", "list", name)
    assert "@production" in listed.out
    assert admin("alias", "history", name, "production", "--json").json["results"][0]["after"] == 1

    pulled = admin("pull", f"{name}@production", str(tmp_path / "out"), "--json").json
    assert (pulled["reference"], pulled["fetched"]) == (f"{name}@1", 2)
    assert (tmp_path / "out/weights/model.safetensors").read_bytes() == safetensors(1)
    assert admin("pull", "--verify", str(tmp_path / "out"), "--json").json["ok"] is True
    (tmp_path / "out/README.txt").write_text("About\n")
    broken = admin("pull", "--verify", str(tmp_path / "out"), "--json")
    assert broken.code == 1
    assert broken.json["error"]["facts"]["faults"][0]["path"] == "README.txt"
    assert admin("pull", name, str(tmp_path / "out"), "--json").json["fetched"] == 1

    assert admin("deprecate", f"{name}@1", "--json").json["state"] == "deprecated"
    assert admin("alias", "remove", name, "production", "--json").json["removed"] is True
    assert admin("withdraw", f"{name}@1", "-m", "leak", "--json").json["state"] == "withdrawn"
    assert admin("pull", f"{name}@1", str(tmp_path / "gone"), "--json").code == 4


def test_a_pulled_folder_is_pushed_again_without_sending_bytes_and_keeps_its_descriptions(
    admin: Zoo, registry: Registry, model_folder: Path, tmp_path: Path
) -> None:
    name = f"{registry.team}/again"
    push(admin, name, model_folder, "--precision", "fp16", "--seal")
    admin("pull", f"{name}@1", str(tmp_path / "out"))
    second = push(admin, name, tmp_path / "out", "--base", f"{name}@1", "--seal")
    assert second["artifacts"][0]["precision"] == "fp16"
    assert second["parents"] == [{"role": "base", "weight": None, "reference": f"{name}@1", "external_uri": None}]
    tree = admin("lineage", f"{name}@2")
    assert "base:" in tree.out
    assert f"{name}@1" in tree.out
    graph = admin("lineage", f"{name}@1", "--json").json
    assert len(graph["nodes"]) == 2


def test_metrics_are_compared_with_the_base(admin: Zoo, registry: Registry, model_folder: Path, tmp_path: Path) -> None:
    name = f"{registry.team}/compared"
    push(admin, name, model_folder, "--metric", "top1=90", "--metric", "latency_ms=4", "--seal")
    push(
        admin, name, model_folder, "--metric", "top1=89.5", "--metric", "latency_ms=2", "--base", f"{name}@1", "--seal"
    )
    found = admin("metrics", f"{name}@2", "--json").json
    verdicts = {
        row["name"]: (row["difference"], row["verdict"]) for row in found["results"] if row["other"] is not None
    }
    assert verdicts["top1"] == (-0.5, "worse")
    assert verdicts["latency_ms"] == (-2.0, "better")
    assert found["against"] == f"{name}@1"
    assert "-0.5" in admin("metrics", f"{name}@2").out
    assert admin("metrics", f"{name}@1", "--against", "base").code == 4


def test_models_are_created_edited_listed_searched_and_shown(admin: Zoo, registry: Registry) -> None:
    for number in range(3):
        created = admin("models", "create", f"{registry.team}/listed-{number}", "--tag", "listed-tag", "--json")
        assert created.code == 0, created.err
    assert (
        admin("models", "edit", f"{registry.team}/listed-1", "--title", "Zebra net", "--json").json["title"]
        == "Zebra net"
    )
    page = admin("models", "--tag", "listed-tag", "--limit", "2", "--json").json
    assert len(page["results"]) == 2
    assert page["next"]
    everything = admin("models", "list", "--tag", "listed-tag", "--limit", "2", "--all", "--json").json
    assert {row["name"] for row in everything["results"]} == {"listed-0", "listed-1", "listed-2"}
    assert [row["name"] for row in admin("models", "--search", "zebra", "--json").json["results"]] == ["listed-1"]
    assert "Zebra net" in admin("models", "show", f"{registry.team}/listed-1").out
    assert admin("models", "show", f"{registry.team}/nothing", "--json").code == 4
    assert admin("models", "create", f"{registry.team}/Bad", "--json").code == 2
    assert admin("models", "create", f"{registry.team}/listed-1", "--json").code == 1


def test_a_data_set_is_described_published_and_pulled(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    from tests.zoo_client.test_datasets import write_idx

    folder = tmp_path / "data"
    folder.mkdir()
    write_idx(folder, "train", [0, 1, 2, 0])
    write_idx(folder, "t10k", [1, 2])
    name = f"{registry.team}/tiny"
    found = admin("datasets", "push", name, str(folder), "--classes", "cat,dog,emu", "--json")
    assert found.code == 0, found.err
    version = found.json
    assert version["state"] == "candidate"
    assert version["dataset"]["classes"] == ["cat", "dog", "emu"]
    assert admin("versions", name, "--json").json["results"][0]["reference"] == f"{name}@1"
    assert "3 classes" in admin("versions", "show", f"{name}@1").out
    assert admin("pull", f"{name}@1", str(tmp_path / "out"), "--json").json["fetched"] == 4
    assert admin("datasets", "list", "--json").json["results"][0]["kind"] == "dataset"


def test_a_refused_version_leaves_no_draft_behind(
    admin: Zoo, client: Client, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "fake.onnx").write_bytes(b"this is no ONNX file, but says so by its name")
    name = f"{registry.team}/refused"
    found = admin("push", name, str(tmp_path / "fake.onnx"), "--json")
    assert found.code == 2
    assert client.models.versions.list(name)["results"] == []


def test_signing_in_keeps_a_token_and_signing_out_forgets_it(zoo: Zoo, registry: Registry, own_home: Path) -> None:
    assert zoo("whoami", "--url", registry.url, "--json").code == 3
    found = zoo("login", "--url", registry.url, "--stdin", "--json", stdin=registry.admin_token + "\n")
    assert found.code == 0, found.err
    assert found.json["is_superuser"] is True
    assert registry.admin_token not in found.out + found.err
    assert (own_home / "config/zoo/login.json").stat().st_mode & 0o777 == 0o600
    assert zoo("whoami", "--json").json["username"] == found.json["username"]
    assert zoo("login", "--token", "zoo_wrong", "--json").code == 3
    assert zoo("whoami", "--json").code == 0
    assert zoo("logout", "--json").json["forgotten"] is True
    assert zoo("whoami", "--url", registry.url, "--json").code == 3


def test_users_sign_in_with_a_password_and_are_managed(
    admin: Zoo, zoo: Zoo, client: Client, registry: Registry
) -> None:
    client.users.create("ada", password="correct horse battery")
    assert admin("users", "list", "--json").code == 0
    assert admin("users", "create", "robot", "--service", "--json").json["is_service"] is True
    assert admin("teams", "create", "vision-two", "--title", "Two", "--json").json["name"] == "vision-two"
    assert "vision-two" in admin("teams").out
    assert admin("members", "set", "vision-two", "ada", "engineer", "--json").json["role"] == "engineer"
    members = admin("members", "list", "vision-two", "--json").json["results"]
    assert {"ada": "engineer"}.items() <= {row["username"]: row["role"] for row in members}.items()
    found = zoo("login", "--url", registry.url, "--username", "ada", "--stdin", stdin="correct horse battery\n")
    assert found.code == 0, found.err
    assert "vision-two (engineer)" in found.out
    assert zoo("users", "list", "--json").code == 3
    assert admin("members", "remove", "vision-two", "ada", "--json").code == 0
    wrong = zoo("login", "--url", registry.url, "--username", "ada", "--stdin", stdin="wrong\n")
    assert wrong.code == 3, wrong.err


def test_a_token_with_few_scopes_can_do_little_and_a_revoked_one_nothing(
    admin: Zoo, zoo: Zoo, registry: Registry, model_folder: Path
) -> None:
    made = admin("tokens", "create", "reader", "--scope", "read", "--days", "3", "--json").json
    environ = {"ZOO_URL": registry.url, "ZOO_TOKEN": made["token"]}
    assert zoo("models", "--json", **environ).code == 0
    assert zoo("push", f"{registry.team}/nope", str(model_folder), "--json", **environ).code == 3
    assert zoo("audit", "list", "--json", **environ).code == 3
    assert "reader" in admin("tokens").out
    assert admin("tokens", "create", "x", "--scope", "reed").code == 2
    assert admin("tokens", "revoke", made["id"], "--json").json["revoked"] is True
    assert zoo("models", "--json", **environ).code == 3


def test_the_audit_log_is_listed_and_its_chain_verified(admin: Zoo, registry: Registry) -> None:
    admin("models", "create", f"{registry.team}/audited")
    page = admin("audit", "list", "--object", f"{registry.team}/audited", "--json").json
    assert len(page["results"]) == 1
    assert admin("audit", "list", "--all", "--limit", "3").code == 0
    found = admin("audit", "verify", "--json")
    assert found.code == 0
    assert found.json["ok"] is True
    assert "is whole" in admin("audit", "verify").out


def test_a_broken_audit_chain_is_exit_code_1_and_names_the_row(admin: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"sequence": 7, "event": "0198", "reason": "its content was changed"}
    answer = {"ok": False, "events": 9, "checked": 7, "first_broken": broken, "head": {"sequence": 9, "hash": "h"}}
    monkeypatch.setattr("zoo_client.audit.Audit.verify", lambda self, checkpoints=None: answer)
    found = admin("audit", "verify", "--json")
    assert found.code == 1
    assert found.json["error"]["facts"]["first_broken"] == broken
    assert "row 7" in found.err


def test_a_version_is_inspected_and_what_its_files_contradict_is_said(
    admin: Zoo, registry: Registry, tmp_path: Path
) -> None:
    from tests.zoo_inspection.samples import onnx_bytes

    (tmp_path / "net.onnx").write_bytes(onnx_bytes())
    name = f"{registry.team}/inspected"
    pushed = admin("push", name, str(tmp_path / "net.onnx"), "--precision", "fp16")
    assert "Declared fp16, but most weights in net.onnx are fp32." in pushed.err
    (told,) = admin("inspect", f"{name}@1", "--json", "--rows", "5").json["results"]
    assert (told["reference"], told["path"], told["artifact"]) == (f"{name}@1", "net.onnx", "net")
    assert told["table"] == {"name": "layers", "count": 1, "columns": ["name", "type"], "rows": [["conv", "Conv"]]}
    for words in ("? x 3 x 8 x 8", "Declared fp16", "108"):
        assert words in admin("inspect", f"{name}@1", "--path", "net.onnx").out
    assert "onnx, 108 parameters, fp32" in admin("versions", "show", f"{name}@1").out
    assert admin("inspect", f"{name}@1", "--path", "other.onnx").code == 4
    row = [line for line in admin("models", "show", name).out.splitlines() if f"{name}@1" in line]
    assert "108" in row[0]
