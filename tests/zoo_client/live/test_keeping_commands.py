"""``zoo delete``, ``restore``, ``pin`` and ``unpin`` against the real registry."""

from pathlib import Path

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry

from .test_catalogue_commands import safetensors


def push(admin: Zoo, registry: Registry, folder: Path, name: str) -> str:
    """A version of a new model; answers its reference."""
    file = folder / "net.safetensors"
    file.write_bytes(safetensors(5))
    pushed = admin("push", f"{registry.team}/{name}", str(file), "--seal", "--json")
    assert pushed.code == 0, pushed.err
    return f"{registry.team}/{name}@1"


def test_a_version_is_pinned_deleted_and_restored(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    reference = push(admin, registry, tmp_path, "kept")
    assert admin("pin", reference, "-m", "in a paper").code == 0
    refused = admin("delete", reference)
    assert refused.code != 0
    assert "it is pinned by" in refused.err
    assert "zoo unpin" in refused.err
    assert "in a paper" in admin("versions", "show", reference).out
    assert "not pinned any more" in admin("unpin", reference).err

    assert "can be restored until" in admin("delete", reference, "-m", "wrong labels").out
    assert "wrong labels" in admin("versions", "show", reference).out
    assert admin("versions", f"{registry.team}/kept", "--json").json["results"] == []
    listed = admin("versions", "list", f"{registry.team}/kept", "--deleted", "--json").json["results"]
    assert [row["reference"] for row in listed] == [reference]
    pulled = admin("pull", reference, str(tmp_path / "out"), "--json")
    assert (pulled.code != 0, pulled.json["error"]["code"]) == (True, "gone")
    assert admin("restore", reference, "--json").json["deletion"] is None
    assert admin("pull", reference, str(tmp_path / "out")).code == 0


def test_a_model_is_deleted_only_when_it_is_said_so(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    reference = push(admin, registry, tmp_path, "whole")
    name = reference.partition("@")[0]
    unclear = admin("delete", name)
    assert unclear.code != 0
    assert f"{name} --whole" in unclear.err
    assert "can be restored until" in admin("delete", name, "--whole", "-m", "a duplicate").out
    assert "a duplicate" in admin("models", "show", name).out
    assert "deleted" in admin("lineage", reference).out
    assert admin("restore", name, "--whole", "--json").json["deletion"] is None


def test_a_draft_goes_at_once(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(safetensors(6))
    assert admin("push", f"{registry.team}/drafty", str(file)).code == 0
    assert "is gone" in admin("delete", f"{registry.team}/drafty@1").err
    assert admin("versions", "show", f"{registry.team}/drafty@1").code != 0


def test_a_retention_policy_is_tried_set_and_removed(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    reference = push(admin, registry, tmp_path, "aging")
    second = admin("push", reference.partition("@")[0], str(tmp_path / "net.safetensors"), "--seal")
    assert second.code == 0, second.err
    policy = tmp_path / "retention.yaml"
    policy.write_text("retention: 1\nrules: [{names: aging, keep_last: 1}]\n")
    tried = admin("team", "retention", "preview", registry.team, "--file", str(policy), "--going")
    assert reference in tried.out
    assert "is not one of the newest 1 (rule 1)" in tried.out
    assert "It would take 1 version" in tried.err
    assert "everything is kept" in admin("team", "retention", "show", registry.team).err
    assert "It would take 1 version" in admin("team", "retention", "set", registry.team, str(policy)).err
    assert "keep_last: 1" in admin("team", "retention", "show", registry.team).out
    policy.write_text("retention: 1\nrules: [{keep_last: never}]\n")
    wrong = admin("team", "retention", "set", registry.team, str(policy))
    assert (wrong.code != 0, "rules.0.keep_last" in wrong.err) == (True, True)
    assert admin("team", "retention", "remove", registry.team).code == 0


def test_use_is_shown_and_a_quota_stops_a_push(admin: Zoo, registry: Registry, tmp_path: Path) -> None:
    push(admin, registry, tmp_path, "measured")
    used = admin("team", "usage", registry.team, "--json").json["physical"]["used"]
    assert used > 0
    shown = admin("team", "usage", registry.team).out
    assert "measured" in shown
    assert "no limit" in shown
    assert registry.team in admin("team", "usage").out
    assert admin("team", "quota", registry.team, "--physical", f"{used}B", "--logical", "1.5TiB").code == 0
    assert "100 %" in admin("team", "usage", registry.team).out
    (tmp_path / "more.bin").write_bytes(b"more")
    refused = admin("push", f"{registry.team}/measured", str(tmp_path / "more.bin"), "--json")
    assert (refused.code != 0, refused.json["error"]["code"]) == (True, "quota-exceeded")
    assert "no size" in admin("team", "quota", registry.team, "--physical", "1 elephant", "--logical", "none").err
    assert admin("team", "quota", registry.team, "--physical", "none", "--logical", "none").code == 0
