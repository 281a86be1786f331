"""Secrets of webhooks: made here, kept encrypted with a key derived from ``ZOO_SECRET_KEY``, and used to sign.

Signatures are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com), symmetric: HMAC-SHA256 over
``id.timestamp.body``.
"""

import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from zoo_sdk.errors import Unavailable

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as its receiver gets it."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sealed(secret: str) -> str:
    """The secret as the database keeps it."""
    return _box().encrypt(secret.encode()).decode()


def opened(kept: str) -> str:
    """The secret again; raises :class:`Unavailable` if ``ZOO_SECRET_KEY`` is not the one of then."""
    try:
        return _box().decrypt(kept.encode()).decode()
    except InvalidToken as error:
        raise Unavailable(
            "The webhook's secret cannot be read: ZOO_SECRET_KEY is another than when it was made.",
            hint="Rotate the secret (zoo webhook rotate), or bring the former ZOO_SECRET_KEY back.",
        ) from error


def signature_header(message: str, timestamp: int, body: bytes, keys: Iterable[str]) -> str:
    """``webhook-signature``: one signature for each secret, so that a receiver may change to a new one at leisure."""
    content = b".".join([message.encode(), str(timestamp).encode(), body])
    return " ".join(
        f"v1,{b64encode(hmac.digest(b64decode(key.removeprefix(PREFIX)), content, sha256)).decode()}" for key in keys
    )


def _box() -> Fernet:
    key = HKDF(SHA256(), 32, salt=None, info=b"zoo webhook secrets").derive(settings.SECRET_KEY.encode())
    return Fernet(urlsafe_b64encode(key))
