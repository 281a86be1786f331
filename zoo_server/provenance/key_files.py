"""Private keys as PEM files in one folder: made, read and used here and nowhere else.

ECDSA on the curve P-256 with SHA-256: the one kind of key that ``model_signing verify key`` and everybody else's tools
accept for both kinds of attestation.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from zoo_sdk.attestations import key_id
from zoo_sdk.errors import Conflict, InvalidInput, Unavailable

ALGORITHM = "ecdsa-p256-sha256"
MAX_KEY_BYTES = 64 * 1024
OTHERS_MAY_READ = 0o077


@dataclass(frozen=True)
class PrivateKey:
    """A key that can sign.  ``id`` and ``public_key`` (PEM) are what others know of it."""

    id: str
    public_key: str
    private: ec.EllipticCurvePrivateKey

    def sign(self, content: bytes) -> bytes:
        """The signature over ``content`` (DER)."""
        return self.private.sign(content, ec.ECDSA(SHA256()))


def file_of(folder: Path, key: str) -> Path:
    """Where the private half of a key lies."""
    return folder / f"{key}.pem"


def make_key(folder: Path) -> PrivateKey:
    """Make a key and its file, readable by the server alone and on disk before this returns.

    Raises:
        Unavailable: the folder cannot be written.

    """
    made = _wrapped(ec.generate_private_key(ec.SECP256R1()))
    text = made.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = file_of(folder, made.id)
    partial = path.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except OSError as error:
        raise Unavailable(
            f"The signing key {path} cannot be written: {error.strerror or error}.",
            hint="ZOO_SIGNING_KEYS_DIR names the folder; the server's user must be able to write it.",
        ) from error
    return made


def read_key(folder: Path, key: str) -> PrivateKey:
    """The private half of a known key.

    Raises:
        Unavailable: its file is not there, or cannot be read.
        InvalidInput: other users may read the file, or it holds something else.

    """
    path = file_of(folder, key)
    try:
        status = path.stat()
        if status.st_mode & OTHERS_MAY_READ:
            raise InvalidInput(
                f"Other users can read the signing key {path} (mode {status.st_mode & 0o777:03o}).",
                hint=f"chmod 600 {path}; if somebody may have read it, revoke it and rotate.",
            )
        if status.st_size > MAX_KEY_BYTES:
            raise InvalidInput(f"{path} has {status.st_size} bytes: it is no key.")
        private = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise Unavailable(
            f"The private half of the signing key {key[:16]} cannot be read: {path}: {error.strerror or error}.",
            hint="Put the file there (ZOO_SIGNING_KEYS_DIR), or make another key: zoo_server signing_key rotate.",
        ) from error
    except ValueError as error:
        raise InvalidInput(f"{path} holds no private key in PEM format: {error}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise InvalidInput(f"{path} holds another kind of key than {ALGORITHM}.")
    found = _wrapped(private)
    if found.id != key:
        raise Conflict(f"{path} holds the key {found.id[:16]}, not {key[:16]}.")
    return found


def public_keys(folder: Path) -> dict[str, str]:
    """The public halves of all keys in the folder, by id: what this disk says, whatever the database says."""
    found = {}
    for path in sorted(folder.glob("*.pem")):
        key = read_key(folder, path.stem)
        found[key.id] = key.public_key
    return found


def is_signed_by(public_key: str, signature: bytes, content: bytes) -> bool:
    """Whether the signature over ``content`` was made with the other half of ``public_key`` (PEM)."""
    loaded = load_pem_public_key(public_key.encode())
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        return False
    try:
        loaded.verify(signature, content, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _wrapped(private: ec.EllipticCurvePrivateKey) -> PrivateKey:
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return PrivateKey(key_id(public), public, private)


def now_text() -> str:
    """The time as signed documents have it: UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
