"""Opening signed statements: by whom they are signed decides the caller, who brings the check of one signature.

The arithmetic of keys is not here: the registry and the client each pass their own ``IsSigned``.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from zoo_sdk.attestations import IN_TOTO_PAYLOAD, Bundle, Envelope, Statement
from zoo_sdk.errors import IntegrityError

ModelT = TypeVar("ModelT", bound=BaseModel)
Keys = Mapping[str, str]
"""Trusted public keys: PEM text by key id."""
IsSigned = Callable[[str, bytes, bytes], bool]
"""``is_signed(pem, signature, content)``: whether that key made this signature over ``content``."""


@dataclass(frozen=True)
class Signed:
    """A statement, and the id of the trusted key that signed it."""

    statement: Statement
    key: str


def signer_of(envelope: Envelope, keys: Keys, is_signed: IsSigned) -> str | None:
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


def opened(text: str | bytes, keys: Keys, is_signed: IsSigned) -> Signed:
    """The statement in an envelope; raises :class:`IntegrityError` unless a trusted key signed it."""
    return _opened(_parsed(Envelope, text), keys, is_signed)


def opened_bundle(text: str | bytes, keys: Keys, is_signed: IsSigned) -> Signed:
    """The statement in a Sigstore bundle; raises :class:`IntegrityError` unless a trusted key signed it."""
    return _opened(_parsed(Bundle, text).dsseEnvelope, keys, is_signed)


def _opened(envelope: Envelope, keys: Keys, is_signed: IsSigned) -> Signed:
    key = signer_of(envelope, keys, is_signed)
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
