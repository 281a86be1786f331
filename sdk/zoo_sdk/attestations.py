"""Signed statements about versions: in-toto statements in DSSE envelopes, and the OpenSSF model signature.

Only formats: what is signed and how it is written down.  Keys and signatures belong to the registry (which signs) and
to the client (which verifies).  Sources: https://github.com/secure-systems-lab/dsse (protocol 1.0),
https://github.com/in-toto/attestation (Statement v1), https://slsa.dev/spec/v1.0/provenance, and model-signing 1.1
(https://github.com/sigstore/model-transparency), whose unmodified command accepts what :func:`model_signature` signs.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from zoo_sdk.artifacts import FileEntry

IN_TOTO_PAYLOAD = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE_PREDICATE = "https://slsa.dev/provenance/v1"
MODEL_SIGNATURE_PREDICATE = "https://model_signing/signature/v1.0"
BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
KEY_PAYLOAD = "application/vnd.zoo.signing-key+json"
"""What an older signing key says about a newer one: the endorsement that makes a rotation believable."""

CHECKPOINT_PAYLOAD = "application/vnd.zoo.audit-checkpoint+json"
"""What a signing key says about the audit log: how many links its chain has, and the hash of the last one."""

JOB_BUILD = "urn:zoo:build:job:v1"
REUSE_BUILD = "urn:zoo:build:reuse:v1"
UPLOAD_BUILD = "urn:zoo:build:upload:v1"
IMPORT_BUILD = "urn:zoo:build:import:v1"
"""How a version came to be: a job made it, a job took it from the result cache, somebody brought it, or it was
imported from another registry.
"""

MANIFEST_NAME = "zoo-manifest.json"
PROVENANCE_FOLDER = "zoo-provenance"
"""In a pulled folder: what was pulled, and everything that proves it.  Neither is part of the model."""
GIT_NAMES = (".git", ".gitattributes", ".github", ".gitignore")
"""What model-signing leaves out of signatures by default; signing these files would make its check fail."""

MAX_SIGNATURES = 10


class _Wire(BaseModel):
    """Others may add members to these documents; what is not known is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EnvelopeSignature(_Wire):
    """One signature; ``keyid`` says which key to try and proves nothing."""

    keyid: str = Field("", max_length=200)
    sig: str = Field(max_length=2000)


class Envelope(_Wire):
    """A DSSE envelope."""

    payload: str
    payloadType: str  # noqa: N815  the name in the standard
    signatures: tuple[EnvelopeSignature, ...] = Field(min_length=1, max_length=MAX_SIGNATURES)

    @field_validator("payload")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        b64decode(value, validate=True)
        return value

    @property
    def content(self) -> bytes:
        """The signed bytes."""
        return b64decode(self.payload)

    @property
    def signed_bytes(self) -> bytes:
        """What the signatures are over."""
        return pae(self.payloadType, self.content)


class Subject(_Wire):
    """A thing that a statement is about, by its digest."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str]
    annotations: dict[str, Any] = Field(default_factory=dict)


class Statement(_Wire):
    """An in-toto statement."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicateType: str  # noqa: N815  the name in the standard
    predicate: dict[str, Any]


class VerificationMaterial(_Wire):
    """Which public key a bundle needs: ``hint`` is its :func:`key_id`."""

    class PublicKey(_Wire):
        """The key's name."""

        hint: str = ""

    publicKey: PublicKey  # noqa: N815  the name in the standard


class Bundle(_Wire):
    """A Sigstore bundle that holds an envelope signed with a plain key."""

    mediaType: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]  # noqa: N815  the name in the standard
    verificationMaterial: VerificationMaterial  # noqa: N815  the name in the standard
    dsseEnvelope: Envelope  # noqa: N815  the name in the standard


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    return b" ".join([b"DSSEv1", b"%d" % len(payload_type), payload_type.encode(), b"%d" % len(payload), payload])


def envelope_of(payload_type: str, payload: bytes, signatures: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """The envelope as JSON; ``signatures``: key id and signature."""
    return {
        "payload": b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key, "sig": b64encode(sig).decode()} for key, sig in signatures],
    }


def bundle_of(payload: bytes, key: str, signature: bytes) -> dict[str, Any]:
    """The Sigstore bundle of a model signature, as ``model_signing sign key`` writes it."""
    return {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key}, "tlogEntries": []},
        "dsseEnvelope": envelope_of(IN_TOTO_PAYLOAD, payload, [("", signature)]),
    }


def key_id(public_key: str) -> str:
    """The name of a key: sha256 (hexadecimal) of its PEM text, as model-signing names keys."""
    return sha256(public_key.encode()).hexdigest()


def canonical(document: Any) -> bytes:
    """A document as the bytes that are signed: equal documents give equal bytes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def statement(subject: Sequence[Mapping[str, Any]], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """An in-toto statement, ready to be signed."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": list(subject),
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def model_signature(name: str, files: Iterable[FileEntry]) -> bytes:
    """The statement of an OpenSSF model signature over ``files``, ready to be signed.

    The digest of the whole is the sha256 over the files' digests in the order of their paths.  Left out are the files
    that a pulled folder has beside the model, and those of git, as model-signing itself leaves them out.
    """
    kept = sorted((PurePosixPath(file.path), file) for file in files if file.path.split("/")[0] not in GIT_NAMES)
    whole = sha256()
    resources = []
    for path, file in kept:
        digest = file.sha256.removeprefix("sha256:")
        whole.update(bytes.fromhex(digest))
        resources.append({"name": str(path), "algorithm": "sha256", "digest": digest})
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [MANIFEST_NAME, PROVENANCE_FOLDER, *GIT_NAMES],
    }
    return statement(
        [{"name": name, "digest": {"sha256": whole.hexdigest()}}],
        MODEL_SIGNATURE_PREDICATE,
        {"serialization": serialization, "resources": resources},
    )
