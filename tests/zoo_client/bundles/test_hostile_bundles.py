"""Bundles from nobody in particular: each trick is refused, and the message says which it was."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.zoo_client.bundles.packing import REGISTRY, Model, Packing, Signer, digest_of, family, nested, packed
from zoo_client.bundles.archive import Archive
from zoo_client.bundles.importing import Checked, check_archive
from zoo_client.errors import VerificationFailed
from zoo_sdk.attestations import canonical
from zoo_sdk.bundles import layout
from zoo_sdk.bundles.layout import NewerFormat
from zoo_sdk.errors import IntegrityError, InvalidInput


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def check(path: Path, signer: Signer, *, unsigned: bool = False) -> Checked:
    with Archive.open(path) as archive:
        return check_archive(archive, {signer.id: signer.pem}, unsigned=unsigned)


def entry(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def test_a_good_bundle_is_good_and_its_parents_come_first(signer: Signer, tmp_path: Path):
    checked = check(packed(signer).write(tmp_path / "b.tar"), signer)
    assert [item.reference for item in checked.bundle.entries] == ["lab/base@1", "lab/student@1"]
    assert (checked.keys, checked.unsigned, checked.bundle.index.registry) == ([signer.id], [], REGISTRY)
    assert checked.root.reference == "lab/student@1"


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "blobs/sha256/../../x", "blobs/sha256/ABC", "x"])
def test_other_names_are_refused(signer: Signer, tmp_path: Path, name: str):
    path = packed(signer).write(tmp_path / "b.tar", (entry(name, size=1), b"x"))
    with pytest.raises(IntegrityError, match="no part of an OCI image layout"):
        Archive.open(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_devices_and_sparse_files_are_refused(signer: Signer, tmp_path: Path, kind: bytes):
    info = entry(f"blobs/sha256/{'0' * 64}", type=kind, linkname="/etc/passwd")
    path = packed(signer).write(tmp_path / "b.tar", (info, b""))
    with pytest.raises(IntegrityError, match="no plain file"):
        Archive.open(path)


def test_an_entry_twice_is_refused(signer: Signer, tmp_path: Path):
    path = packed(signer).write(tmp_path / "b.tar", (entry("index.json", size=2), b"{}"))
    with pytest.raises(IntegrityError, match=r"'index\.json' twice"):
        Archive.open(path)


def test_a_header_that_claims_ten_gigabytes_is_refused_before_anything_is_read(signer: Signer, tmp_path: Path):
    path = tmp_path / "b.tar"
    blocks = io.BytesIO()
    with tarfile.open(fileobj=blocks, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(entry("oci-layout", size=0))
    claim = entry(f"blobs/sha256/{'1' * 64}", size=10 * 10**9).tobuf(tarfile.PAX_FORMAT)
    path.write_bytes(blocks.getvalue()[:512] + claim + bytes(2048))
    with pytest.raises(IntegrityError, match="10000000000 bytes; the archive has"):
        Archive.open(path)


def test_an_extended_header_without_end_or_with_a_path_is_refused(tmp_path: Path):
    path = tmp_path / "b.tar"
    path.write_bytes(entry("x", type=tarfile.XHDTYPE, size=5 * 10**9).tobuf(tarfile.USTAR_FORMAT) + bytes(4096))
    with pytest.raises(IntegrityError, match="extended header"):
        Archive.open(path)
    long_name = tarfile.TarInfo("blobs/sha256/" + "é" * 60)
    path.write_bytes(long_name.tobuf(tarfile.PAX_FORMAT) + bytes(2048))
    with pytest.raises(IntegrityError, match="sets path"):
        Archive.open(path)


def test_a_size_beyond_eight_gibibytes_is_read_as_it_was_written(tmp_path: Path):
    """A hole in a file costs no disk."""
    size, name = 9 * 2**30, f"blobs/sha256/{'2' * 64}"
    head = entry(name, size=size).tobuf(tarfile.PAX_FORMAT)
    path = tmp_path / "b.tar"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size + 1024)
    with Archive.open(path) as archive:
        assert archive.blobs == {f"sha256:{'2' * 64}": (len(head), size)}


def test_what_is_cut_off_or_no_archive_is_refused(signer: Signer, tmp_path: Path):
    path = packed(signer).write(tmp_path / "b.tar")
    whole = path.read_bytes()
    path.write_bytes(whole[: 512 * 5])
    with pytest.raises(IntegrityError):
        Archive.open(path)
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(IntegrityError, match="no tar file"):
        Archive.open(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Archive.open(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="cannot be read"):
        Archive.open(tmp_path)


def test_a_changed_byte_is_found(signer: Signer, tmp_path: Path):
    packing = packed(signer)
    digest = digest_of(b"student weights")
    packing.blobs[digest] = b"STUDENT weights"
    with pytest.raises(IntegrityError, match=f"The blob {digest} has other bytes"):
        check(packing.write(tmp_path / "b.tar"), signer)


def test_a_missing_file_is_found(signer: Signer, tmp_path: Path):
    packing = packed(signer)
    del packing.blobs[digest_of(b"student weights")]
    with pytest.raises(VerificationFailed, match="is not in the bundle as it says"):
        check(packing.write(tmp_path / "b.tar"), signer)


@pytest.mark.parametrize("depth", [layout.MAX_DEPTH + 1, 200_000])
def test_documents_that_are_nested_without_end_are_refused(signer: Signer, tmp_path: Path, depth: int):
    base, _ = family()
    packing = Packing(signer)
    bomb = nested(depth)
    packing.add(base, more=[layout.descriptor(layout.REPORT_TYPE, packing.keep(bomb), len(bomb))])
    with pytest.raises(IntegrityError, match="nested"):
        check(packing.write(tmp_path / "b.tar"), signer)


def test_an_attestation_of_another_version_is_found(signer: Signer, tmp_path: Path):
    base, student = family()
    packing = Packing(signer)
    packing.add(student, proof=base)
    packing.add(base, root=False)
    with pytest.raises(VerificationFailed) as refused:
        check(packing.write(tmp_path / "b.tar"), signer)
    findings = refused.value.facts["findings"]
    assert {(item["reference"], item["check"]) for item in findings} == {
        ("lab/student@1", "attestation"), ("lab/student@1", "signature"),
    }  # fmt: skip
    assert "is that of lab/base@1" in findings[0]["reason"]


def test_a_key_that_nobody_trusts_proves_nothing(signer: Signer, tmp_path: Path):
    path = packed(Signer()).write(tmp_path / "b.tar")
    with pytest.raises(VerificationFailed, match="no good signature by a key that you trust"):
        check(path, signer)
    with pytest.raises(VerificationFailed):
        check(path, signer, unsigned=True)


def test_what_nobody_signed_is_taken_only_when_asked_for(signer: Signer, tmp_path: Path):
    path = packed(None).write(tmp_path / "b.tar")
    with pytest.raises(VerificationFailed, match="attestation is missing"):
        check(path, signer)
    assert check(path, signer, unsigned=True).unsigned == ["lab/base@1", "lab/student@1"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": f"sha256:{'3' * 64}"}, "manifest has the digest"),
        ({"parents": []}, "names other parents"),
        ({"reference": "lab/other@1"}, "manifest is that of"),
        ({"whole": False, "parents": []}, "attestation names other parents"),
    ],
)
def test_a_record_that_contradicts_what_was_signed_is_found(signer: Signer, tmp_path: Path, changes, reason: str):
    base, student = family()
    packing = Packing(signer)
    packing.add(base, root=False)
    packing.add(Model(student.name, student.files, student.parents, changes), proof=student)
    with pytest.raises(VerificationFailed) as refused:
        check(packing.write(tmp_path / "b.tar"), signer)
    assert any(reason in f"{item['check']} {item['reason']}" for item in refused.value.facts["findings"])


def test_another_strategy_than_the_signed_one_is_found_by_the_manifests_digest(signer: Signer, tmp_path: Path):
    base, _ = family()
    forged = base.manifest() | {"strategy": [{"kind": "quantization", "method": "int4"}]}
    packing = Packing(signer)
    packing.add(Model(base.name, base.files, changes={"manifest": forged}), proof=base)
    with pytest.raises(VerificationFailed, match="manifest has the digest"):
        check(packing.write(tmp_path / "b.tar"), signer)


@pytest.mark.parametrize("path", ["../up", "/root", "a//b", "C:evil", "weights.bin/below"])
def test_files_of_versions_have_safe_paths(signer: Signer, tmp_path: Path, path: str):
    base = Model("base", {"weights.bin": b"base weights", path: b"x"})
    packing = Packing(None)
    packing.add(base)
    with pytest.raises(IntegrityError, match="lab/base@1 lists"):
        check(packing.write(tmp_path / "b.tar"), signer, unsigned=True)


def test_a_circle_of_ancestors_is_refused(signer: Signer, tmp_path: Path):
    base, student = family()
    packing = Packing(None)
    packing.add(student)
    parent = {"role": "base", "id": str(student.id), "reference": student.reference, "digest": student.digest}
    packing.add(Model(base.name, base.files, changes={"parents": [parent]}))
    with pytest.raises(IntegrityError, match="its own ancestor"):
        check(packing.write(tmp_path / "b.tar"), signer, unsigned=True)


def test_a_version_twice_and_no_version_are_refused(signer: Signer, tmp_path: Path):
    base, _ = family()
    packing = Packing(None)
    packing.add(base)
    packing.add(Model("base", {"other": b"x"}, changes={"notes": "another"}))
    with pytest.raises(IntegrityError, match="lab/base@1 twice"):
        check(packing.write(tmp_path / "b.tar"), signer, unsigned=True)
    packing.manifests = [layout.descriptor("application/vnd.other", packing.keep(b"{}"), 2)]
    with pytest.raises(IntegrityError, match="holds no version"):
        check(packing.write(tmp_path / "b.tar"), signer)


@pytest.mark.parametrize(("format_", "error"), [("2.0", NewerFormat), ("", IntegrityError), ("one", IntegrityError)])
def test_a_format_that_must_not_be_guessed_at_is_refused(signer: Signer, tmp_path: Path, format_: str, error):
    packing = packed(signer)
    packing.format = format_
    with pytest.raises(error, match="format"):
        check(packing.write(tmp_path / "b.tar"), signer)


def test_what_a_later_minor_format_adds_is_passed_over(signer: Signer, tmp_path: Path):
    base, _ = family()
    packing = Packing(signer)
    packing.format = "1.7"
    news = b"something new"
    unknown = layout.descriptor("application/vnd.zoo.hologram.v1", packing.keep(news), len(news))
    changed = Model(base.name, base.files, changes={"carbon": {"grams": 12}})
    packing.add(changed, proof=base, more=[unknown])
    other = canonical({"schemaVersion": 2, "mediaType": "application/x", "manifests": []})
    packing.manifests.append(layout.descriptor(layout.INDEX_TYPE, packing.keep(other), len(other)))
    checked = check(packing.write(tmp_path / "b.tar"), signer)
    assert (checked.bundle.format, checked.bundle.ignored) == ("1.7", 2)
    assert checked.root.raw["carbon"] == {"grams": 12}
