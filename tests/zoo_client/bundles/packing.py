"""Makes bundles by hand, good ones and hostile ones, without any registry."""

import io
import tarfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zoo_sdk.artifacts import FileEntry
from zoo_sdk.attestations import (
    IN_TOTO_PAYLOAD,
    PROVENANCE_PREDICATE,
    UPLOAD_BUILD,
    bundle_of,
    canonical,
    envelope_of,
    key_id,
    model_signature,
    pae,
    statement,
)
from zoo_sdk.bundles import layout

REGISTRY = "https://origin.example"
_SPACE = UUID("5f0c0f5e-0000-4000-8000-000000000000")


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


class Signer:
    """A registry's key."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.id = key_id(self.pem)

    def envelope(self, payload: bytes) -> dict[str, Any]:
        signature = self.private.sign(pae(IN_TOTO_PAYLOAD, payload), ec.ECDSA(SHA256()))
        return envelope_of(IN_TOTO_PAYLOAD, payload, [(self.id, signature)])

    def bundle(self, payload: bytes) -> dict[str, Any]:
        signature = self.private.sign(pae(IN_TOTO_PAYLOAD, payload), ec.ECDSA(SHA256()))
        return bundle_of(payload, self.id, signature)


@dataclass
class Model:
    """A version to be packed; ``parents``: its bases."""

    name: str
    files: dict[str, bytes]
    parents: list["Model"] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    kind: str = "model"

    @property
    def id(self) -> UUID:
        return uuid5(_SPACE, self.name)

    @property
    def reference(self) -> str:
        return f"lab/{self.name}@1"

    @property
    def digest(self) -> str:
        return digest_of(canonical(self.manifest()))

    def manifest(self) -> dict[str, Any]:
        return {
            "manifest": 1,
            "kind": self.kind,
            "reference": self.reference,
            "files": [
                {"path": path, "sha256": digest_of(content), "size": len(content)}
                for path, content in sorted(self.files.items())
            ],
            "artifacts": [],
            "strategy": [{"kind": "training", "method": "sgd", "parameters": {}, "operation": "", "job": None}],
            "lineage": [
                {"role": "base", "weight": None, "parent": item.reference, "digest": item.digest, "external_uri": ""}
                for item in self.parents
            ],
            "dataset": None,
        }

    def record(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "registry": REGISTRY,
            "reference": self.reference,
            "digest": self.digest,
            "state": "approved",
            "created_by": "marie",
            "sealed_at": "2026-11-01T00:00:00+00:00",
            "notes": "by hand",
            "whole": True,
            "manifest": self.manifest(),
            "parents": [
                {"role": "base", "id": str(item.id), "reference": item.reference, "digest": item.digest}
                for item in self.parents
            ],
            "repository": {
                "id": str(uuid5(_SPACE, f"repository {self.name}")),
                "kind": self.kind,
                "team": "lab",
                "name": self.name,
            },
            "metrics": [
                {
                    "id": str(uuid5(_SPACE, f"metric {self.name}")),
                    "name": "top1",
                    "value": 76.5,
                    "source": "measured",
                    "job": str(uuid5(_SPACE, f"job {self.name}")),
                }
            ],
            **self.changes,
        }

    def provenance(self) -> bytes:
        subject = [{"name": self.reference, "uri": f"urn:uuid:{self.id}", "digest": {"sha256": self.digest[7:]}}]
        subject += [
            {"name": path, "digest": {"sha256": digest_of(content)[7:]}} for path, content in sorted(self.files.items())
        ]
        dependencies = [
            {
                "uri": f"urn:uuid:{item.id}",
                "digest": {"sha256": item.digest[7:]},
                "annotations": {"role": "base", "kind": "model"},
            }
            for item in self.parents
        ]
        definition = {"buildType": UPLOAD_BUILD, "resolvedDependencies": dependencies}
        return statement(subject, PROVENANCE_PREDICATE, {"buildDefinition": definition})

    def signature(self) -> bytes:
        entries = [
            FileEntry(path=path, sha256=digest_of(content), size=len(content)) for path, content in self.files.items()
        ]
        return model_signature(self.name, entries)


@dataclass
class Packing:
    """A bundle in the making: blobs by digest and ``index.json``, which a test may spoil before it is written."""

    signer: Signer | None
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: list[dict[str, Any]] = field(default_factory=list)
    format: str = layout.FORMAT

    def keep(self, content: bytes) -> str:
        self.blobs[digest_of(content)] = content
        return digest_of(content)

    def add(self, model: Model, *, root: bool = True, proof: Model | None = None, more: Any = ()) -> None:
        """Pack a version, with the proof of ``proof`` (default: its own)."""
        record = canonical(model.record())
        layers = [*more]
        if self.signer is not None:
            vouched = proof or model
            for kind, document in (
                (layout.PROVENANCE_TYPE, self.signer.envelope(vouched.provenance())),
                (layout.SIGNATURE_TYPE, self.signer.bundle(vouched.signature())),
            ):
                text = canonical(document)
                layers.append(layout.descriptor(kind, self.keep(text), len(text)))
        for path, content in sorted(model.files.items()):
            notes = {layout.PATH_NOTE: path}
            layers.append(layout.descriptor(layout.FILE_TYPE, self.keep(content), len(content), notes))
        head = layout.descriptor(layout.RECORD_TYPE, self.keep(record), len(record))
        manifest = canonical(layout.manifest_document(head, layers))
        part = {layout.PART_NOTE: layout.ROOT if root else layout.ANCESTOR}
        self.manifests.append(layout.descriptor(layout.MANIFEST_TYPE, self.keep(manifest), len(manifest), part))

    def index(self) -> bytes:
        document = layout.index_document(REGISTRY, self.manifests)
        document["annotations"][layout.FORMAT_NOTE] = self.format
        return canonical(document)

    def entries(self) -> list[tuple[str, bytes]]:
        head = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", self.index())]
        return [*head, *((f"blobs/sha256/{digest[7:]}", text) for digest, text in sorted(self.blobs.items()))]

    def write(self, path: Path, *extra: tuple[tarfile.TarInfo, bytes]) -> Path:
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in self.entries():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for info, content in extra:
                archive.addfile(info, io.BytesIO(content))
        return path


def family() -> tuple[Model, Model]:
    """A base and a student made from it."""
    base = Model("base", {"weights.bin": b"base weights", "notes/read.me": b"notes"})
    return base, Model("student", {"weights.bin": b"student weights"}, [base])


def packed(signer: Signer | None) -> Packing:
    """A good bundle of the family."""
    base, student = family()
    packing = Packing(signer)
    packing.add(student)
    packing.add(base, root=False)
    return packing


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth
