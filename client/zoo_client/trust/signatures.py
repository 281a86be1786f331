"""Checks signatures with plain public keys, without any network."""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ValidationError

from zoo_sdk.attestations import IN_TOTO_PAYLOAD, Bundle, Envelope, Statement
from zoo_sdk.errors import IntegrityError, InvalidInput

ModelT = TypeVar("ModelT", bound=BaseModel)
Keys = Mapping[str, str]
"""Trusted public keys: PEM text by key id."""


@dataclass(frozen=True)
class Signed:
    """A statement, and the id of the trusted key that signed it."""

    statement: Statement
    key: str


def load_public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """The key in a PEM text; raises :class:`InvalidInput` for anything but a P-256 key."""
    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"This is no public key in PEM format: {str(error)[:200]}") from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name != "secp256r1":
        raise InvalidInput("The public key is of another kind than ECDSA P-256, which registries sign with.")
    return found


def is_signed(pem: str, signature: bytes, content: bytes) -> bool:
    """Whether the key made this signature over ``content``."""
    try:
        load_public_key(pem).verify(signature, content, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def signer_of(envelope: Envelope, keys: Keys) -> str | None:
    """The id of a trusted key that signed the envelope; None if none did."""
    for item in envelope.signatures:
        try:
            signature = b64decode(item.sig, validate=True)
        except Base64Error:
            continue
        likely = [item.keyid] if item.keyid in keys else list(keys)
        for key in likely:
            if is_signed(keys[key], signature, envelope.signed_bytes):
                return key
    return None


def opened(text: str | bytes, keys: Keys) -> Signed:
    """The statement in an envelope; raises :class:`IntegrityError` unless a trusted key signed it."""
    return _opened(_parsed(Envelope, text), keys)


def opened_bundle(text: str | bytes, keys: Keys) -> Signed:
    """The statement in a Sigstore bundle; raises :class:`IntegrityError` unless a trusted key signed it."""
    return _opened(_parsed(Bundle, text).dsseEnvelope, keys)


def _opened(envelope: Envelope, keys: Keys) -> Signed:
    key = signer_of(envelope, keys)
    if key is None:
        named = ", ".join(item.keyid[:16] for item in envelope.signatures if item.keyid)
        raise IntegrityError(
            "has no good signature by a key that you trust" + (f" (it names the key {named})" if named else "")
        )
    if envelope.payloadType != IN_TOTO_PAYLOAD:
        raise IntegrityError(f"is signed, but holds {envelope.payloadType!r}, no statement")
    return Signed(_parsed(Statement, envelope.content), key)


def _parsed(kind: type[ModelT], text: str | bytes) -> ModelT:
    try:
        return kind.model_validate(json.loads(text))
    except (ValueError, RecursionError, ValidationError) as error:
        raise IntegrityError(f"cannot be read: {str(error).splitlines()[0][:200]}") from error
