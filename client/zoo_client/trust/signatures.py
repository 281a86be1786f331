"""Checks signatures with plain public keys, without any network."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from zoo_sdk import signed
from zoo_sdk.attestations import Envelope
from zoo_sdk.errors import InvalidInput
from zoo_sdk.signed import Keys, Signed

__all__ = ["Keys", "Signed", "is_signed", "load_public_key", "opened", "opened_bundle", "signer_of"]


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
    return signed.signer_of(envelope, keys, is_signed)


def opened(text: str | bytes, keys: Keys) -> Signed:
    """The statement in an envelope; raises ``IntegrityError`` unless a trusted key signed it."""
    return signed.opened(text, keys, is_signed)


def opened_bundle(text: str | bytes, keys: Keys) -> Signed:
    """The statement in a Sigstore bundle; raises ``IntegrityError`` unless a trusted key signed it."""
    return signed.opened_bundle(text, keys, is_signed)
