"""A pulled folder is what was signed, or the verification says what is not."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.zoo_client.conftest import Zoo
from zoo_client.trust.verification import Report, verify_pulled
from zoo_sdk.attestations import PROVENANCE_FOLDER
from zoo_sdk.errors import IntegrityError

from .conftest import URL, SignedVersion, Signer, pulled_folder, rewritten

PROOF = PROVENANCE_FOLDER


def check(folder: Path, signer: Signer, **options: bool) -> Report:
    return verify_pulled(folder, {signer.id: signer.pem}, **options)


def reasons(report: Report) -> list[str]:
    return [f"{finding.check}: {finding.path}: {finding.reason}" for finding in report.findings]


def test_an_untouched_folder_is_verified_with_its_whole_ancestry(folder: Path, signer: Signer):
    report = check(folder, signer)
    assert reasons(report) == []
    assert (report.reference, report.registry, report.key, report.files) == ("vision/slim@3", URL, signer.id, 3)
    assert report.ancestry.proven == ["vision/base@1", "vision/digits@1"]
    assert report.ancestry.external == ["https://example.org/weights"]
    assert report.ancestry.loose_ends == []


def change_a_byte(folder: Path) -> None:
    (folder / "sub/weights.bin").write_bytes(b"weightz")


def change_a_git_file(folder: Path) -> None:
    (folder / ".gitattributes").write_bytes(b"*.exe")


def add_a_file(folder: Path) -> None:
    (folder / "sub/more.py").write_text("print()")


def add_a_hidden_file(folder: Path) -> None:
    (folder / ".more").write_text("x")


def remove_a_file(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def link_a_file(folder: Path) -> None:
    outside = folder.with_name("outside")
    outside.write_bytes(b"onnx")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(outside)


def link_a_folder(folder: Path) -> None:
    (folder / "sub").rename(folder.with_name("outside"))
    (folder / "sub").symlink_to(folder.with_name("outside"))


def change_the_manifest(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"evil")
    entry = {"path": "model.onnx", "sha256": f"sha256:{'0' * 64}", "size": 4}
    rewritten(folder / "zoo-manifest.json", lambda content: content | {"files": [entry]})


def drop_the_attestation(folder: Path) -> None:
    (folder / PROOF / "provenance.json").unlink()


def drop_the_signature(folder: Path) -> None:
    (folder / PROOF / "model.sig").unlink()


def edit_the_attestation(folder: Path) -> None:
    def edited(envelope: dict[str, str]) -> dict[str, str]:
        payload = b64decode(envelope["payload"]).replace(b"zoo-toy@1", b"zoo-toy@2")
        return envelope | {"payload": b64encode(payload).decode()}

    rewritten(folder / PROOF / "provenance.json", edited)


def edit_the_signature(folder: Path) -> None:
    def edited(bundle: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return bundle | {"dsseEnvelope": bundle["dsseEnvelope"] | {"payload": b64encode(b"{}").decode()}}

    rewritten(folder / PROOF / "model.sig", edited)


def break_the_attestation(folder: Path) -> None:
    (folder / PROOF / "provenance.json").write_text("[" * 100_000)


def break_an_ancestor(folder: Path) -> None:
    lines = (folder / PROOF / "ancestors.jsonl").read_text().splitlines()
    envelope = json.loads(lines[0])
    envelope["signatures"][0]["sig"] = b64encode(b"x" * 70).decode()
    (folder / PROOF / "ancestors.jsonl").write_text("\n".join([json.dumps(envelope), *lines[1:]]))


FAULTS: dict[Callable[[Path], None], str] = {
    change_a_byte: "files: sub/weights.bin: was changed",
    change_a_git_file: "files: .gitattributes: was changed",
    add_a_file: "files: sub/more.py: was added",
    add_a_hidden_file: "files: .more: was added",
    remove_a_file: "files: model.onnx: is missing",
    link_a_file: "files: model.onnx: is no plain file",
    link_a_folder: "files: sub: was added",
    change_the_manifest: "files: zoo-manifest.json: lists model.onnx with another digest",
    drop_the_attestation: f"attestation: {PROOF}/provenance.json: is missing",
    drop_the_signature: f"signature: {PROOF}/model.sig: is missing",
    edit_the_attestation: f"attestation: {PROOF}/provenance.json: has no good signature",
    edit_the_signature: f"signature: {PROOF}/model.sig: has no good signature",
    break_the_attestation: f"attestation: {PROOF}/provenance.json: cannot be read",
    break_an_ancestor: f"chain: {PROOF}/ancestors.jsonl: line 1 has no good signature",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_and_named(folder: Path, signer: Signer, fault: Callable[[Path], None]):
    fault(folder)
    report = check(folder, signer)
    assert not report.ok
    assert any(reason.startswith(FAULTS[fault]) for reason in reasons(report)), reasons(report)


def test_another_versions_attestation_is_not_this_ones(tmp_path: Path, folder: Path, signer: Signer, family):
    other = pulled_folder(tmp_path / "other", family[1], signer, [])
    (other / PROOF / "provenance.json").replace(folder / PROOF / "provenance.json")
    assert f"attestation: {PROOF}/provenance.json: is that of vision/base@1, not of vision/slim@3 as pulled" in reasons(
        check(folder, signer)
    )


def test_with_the_manifest_swapped_as_well_the_files_tell(tmp_path: Path, folder: Path, signer: Signer, family):
    other = pulled_folder(tmp_path / "other", family[1], signer, [family[2]])
    for name in (f"{PROOF}/provenance.json", f"{PROOF}/ancestors.jsonl", f"{PROOF}/model.sig", "zoo-manifest.json"):
        (other / name).replace(folder / name)
    found = reasons(check(folder, signer))
    assert "files: model.onnx: was added: it is no file of the version" in found
    assert "files: w: is missing" in found


def test_another_versions_signature_is_over_other_files(tmp_path: Path, folder: Path, signer: Signer, family):
    other = pulled_folder(tmp_path / "other", family[1], signer, [])
    (other / PROOF / "model.sig").replace(folder / PROOF / "model.sig")
    assert reasons(check(folder, signer)) == [f"signature: {PROOF}/model.sig: is over other files than vision/slim@3"]


def test_an_ancestor_that_is_none_is_found(tmp_path: Path, signer: Signer, family):
    stranger = SignedVersion("evil/base@1", {"w": b"x"})
    folder = pulled_folder(tmp_path / "model", family[0], signer, [*family[1:], stranger])
    report = check(folder, signer)
    assert [finding.check for finding in report.findings] == ["chain"]
    assert "evil/base@1, which is none of its ancestors" in report.findings[0].reason


def test_a_swapped_ancestor_breaks_the_chain(tmp_path: Path, signer: Signer, family):
    forged = SignedVersion("vision/base@1", {"w": b"another"})
    folder = pulled_folder(tmp_path / "model", family[0], signer, [forged, family[2]])
    report = check(folder, signer)
    assert [finding.check for finding in report.findings] == ["chain"]
    assert [(end.child, end.role) for end in report.ancestry.loose_ends] == [("vision/slim@3", "base")]


def test_an_ancestor_that_was_not_shown_is_an_loose_end(tmp_path: Path, signer: Signer, family, zoo: Zoo):
    folder = pulled_folder(tmp_path / "model", family[0], signer, [family[2]])
    report = check(folder, signer)
    assert report.ok
    assert [(end.child, end.role) for end in report.ancestry.loose_ends] == [("vision/slim@3", "base")]
    key = tmp_path / "key.pem"
    key.write_text(signer.pem)
    assert zoo("verify", str(folder), "--key", str(key)).code == 0
    strict = zoo("verify", str(folder), "--key", str(key), "--whole-chain", "--json")
    assert (strict.code, strict.json["error"]["facts"]["checks"]["chain"]) == (1, False)


def test_another_registrys_signatures_are_not_believed(folder: Path):
    report = check(folder, Signer())
    assert {finding.check for finding in report.findings} == {"attestation", "signature"}
    assert report.registry == ""


def test_a_part_of_a_version_is_verified_as_such(folder: Path, signer: Signer):
    (folder / "model.onnx").unlink()
    report = check(folder, signer, partial=True)
    assert (report.ok, report.missing) == (True, ["model.onnx"])
    (folder / "sub/weights.bin").unlink()
    (folder / ".gitattributes").unlink()
    assert not check(folder, signer, partial=True).ok


def test_a_link_in_the_place_of_the_proof_is_refused(folder: Path, signer: Signer, tmp_path: Path):
    (folder / PROOF / "provenance.json").rename(tmp_path / "elsewhere")
    (folder / PROOF / "provenance.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="is a link"):
        check(folder, signer)


def test_the_command_says_what_was_verified_and_what_is_wrong(folder: Path, signer: Signer, tmp_path: Path, zoo: Zoo):
    unknown = zoo("verify", str(folder))
    assert unknown.code == 2
    assert "No signing key is trusted" in unknown.err
    key = tmp_path / "key.pem"
    key.write_text(signer.pem)
    good = zoo("verify", str(folder), "--key", str(key))
    assert good.code == 0
    assert "vision/slim@3" in good.out
    assert "2 ancestors: vision/base@1, vision/digits@1" in good.out
    change_a_byte(folder)
    add_a_file(folder)
    bad = zoo("verify", str(folder), "--key", str(key), "--json")
    assert bad.code == 1
    assert bad.json["error"]["facts"]["checks"] == {
        "files": False, "signature": True, "attestation": True, "chain": True,
    }  # fmt: skip
    assert {item["path"] for item in bad.json["error"]["facts"]["findings"]} == {"sub/weights.bin", "sub/more.py"}


def model_signing(folder: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """The unmodified command of OpenSSF's model signing."""
    signature = folder / PROOF / "model.sig"
    words = ["verify", "key", str(folder), "--signature", str(signature), "--public_key", str(key)]
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_unmodified_model_signing_command_accepts_the_folder_and_refuses_a_changed_one(folder, signer, tmp_path):
    key = tmp_path / "key.pem"
    key.write_text(signer.pem)
    good = model_signing(folder, key)
    assert (good.returncode, good.stdout) == (0, "Verification succeeded\n"), good.stderr
    add_a_file(folder)
    change_a_byte(folder)
    bad = model_signing(folder, key)
    assert bad.returncode == 1
    assert "Extra files found" in bad.stderr
    assert "Hash mismatch for 'sub/weights.bin'" in bad.stderr
