"""Pulled folders as a registry would have signed them, made without one."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zoo_client.pulling import PullManifest
from zoo_client.trust.material import write_material
from zoo_sdk.artifacts import FileEntry
from zoo_sdk.attestations import (
    IN_TOTO_PAYLOAD,
    KEY_PAYLOAD,
    MANIFEST_NAME,
    PROVENANCE_PREDICATE,
    bundle_of,
    canonical,
    envelope_of,
    key_id,
    model_signature,
    pae,
    statement,
)

URL = "https://zoo.example"


def hexdigest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


class Signer:
    """A registry's key."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = self.private.public_key()
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.id = key_id(self.pem)

    def sign(self, payload: bytes, payload_type: str = IN_TOTO_PAYLOAD) -> bytes:
        return self.private.sign(pae(payload_type, payload), ec.ECDSA(SHA256()))

    def envelope(self, payload: bytes, payload_type: str = IN_TOTO_PAYLOAD) -> dict[str, Any]:
        return envelope_of(payload_type, payload, [(self.id, self.sign(payload, payload_type))])

    def published(self, at: str, *, by: "Signer | None" = None, state: str = "current") -> dict[str, Any]:
        """The key as ``GET keys`` shows it; ``by``: the key that endorses it."""
        content = canonical({"key_id": self.id, "public_key": self.pem})
        endorsement = by.envelope(content, KEY_PAYLOAD) if by else None
        return {
            "id": self.id, "public_key": self.pem, "state": state, "created_at": at, "endorsement": endorsement,
            "algorithm": "ecdsa-p256-sha256", "retired_at": None, "revoked_at": None, "revocation_reason": "",
        }  # fmt: skip


@dataclass
class SignedVersion:
    """A version with its statements."""

    name: str
    files: dict[str, bytes]
    parents: dict[str, "SignedVersion"] = field(default_factory=dict)
    external: str = ""

    @property
    def digest(self) -> str:
        return hexdigest(repr((self.name, self.files, [parent.digest for parent in self.parents.values()])))

    def entries(self) -> list[FileEntry]:
        return [
            FileEntry(path=path, sha256=f"sha256:{hexdigest(data)}", size=len(data))
            for path, data in self.files.items()
        ]

    def provenance(self) -> bytes:
        dependencies: list[dict[str, Any]] = [
            {"uri": f"urn:uuid:{role}", "digest": {"sha256": parent.digest}, "annotations": {"role": role}}
            for role, parent in self.parents.items()
        ]
        dependencies += [{"uri": self.external, "annotations": {"role": "base"}}] if self.external else []
        dependencies.append({"uri": "pkg:pypi/zoo-toy@1", "annotations": {"role": "plugin"}})
        subjects = [{"name": self.name, "digest": {"sha256": self.digest}}]
        subjects += [{"name": path, "digest": {"sha256": hexdigest(data)}} for path, data in self.files.items()]
        definition = {"internalParameters": {"registry": URL}, "resolvedDependencies": dependencies}
        return statement(subjects, PROVENANCE_PREDICATE, {"buildDefinition": definition})


def pulled_folder(folder: Path, version: SignedVersion, signer: Signer, ancestors: list[SignedVersion]) -> Path:
    """The folder as ``zoo pull`` leaves it."""
    for path, data in version.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    manifest = PullManifest(
        registry=URL,
        reference=version.name,
        digest=f"sha256:{version.digest}",
        files=tuple(version.entries()),
        version={},
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json())
    payload = model_signature("m", version.entries())
    answer = {
        "provenance": signer.envelope(version.provenance()),
        "signature": bundle_of(payload, signer.id, signer.sign(payload)),
        "ancestors": [{"envelope": signer.envelope(item.provenance())} for item in ancestors],
        "keys": [signer.published("2026-01-01")],
    }
    write_material(folder, answer)
    return folder


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture
def family() -> list[SignedVersion]:
    """A version, its base, its data set, and the base's own external base."""
    data = SignedVersion("vision/digits@1", {"images": b"pixels"})
    base = SignedVersion("vision/base@1", {"w": b"base"}, {"trained_on": data}, "https://example.org/weights")
    files = {"model.onnx": b"onnx", "sub/weights.bin": b"weights", ".gitattributes": b"*.bin"}
    return [SignedVersion("vision/slim@3", files, {"base": base, "calibrated_on": data}), base, data]


@pytest.fixture
def folder(tmp_path: Path, signer: Signer, family: list[SignedVersion]) -> Path:
    return pulled_folder(tmp_path / "model", family[0], signer, family[1:])


def rewritten(path: Path, change: Any) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))
