"""Keys of other registries: which ones this registry believes about the versions that a bundle brings."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.db import transaction

from zoo_sdk.attestations import key_id
from zoo_sdk.errors import InvalidInput, NotFound
from zoo_server.audit.services import record_event
from zoo_server.provenance.models import SigningKey, TrustedKey
from zoo_server.rest.principals import Principal


def checked_public_key(pem: str) -> str:
    """``pem`` if it is the public half of a key that registries sign with; raises :class:`InvalidInput` otherwise."""
    try:
        found = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(
            f"This is no public key in PEM format: {str(error)[:200]}",
            hint="`zoo keys export` of the other registry prints it.",
            facts={"field": "keys"},
        ) from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name != "secp256r1":
        raise InvalidInput(
            "The public key is of another kind than ECDSA P-256, which registries sign with.", facts={"field": "keys"}
        )
    return pem


def trust_key(*, principal: Principal, public_key: str, name: str) -> TrustedKey:
    """Believe a key of another registry from now on; doing it twice changes its name only."""
    identifier = key_id(checked_public_key(public_key))
    with transaction.atomic():
        row, _ = TrustedKey.objects.update_or_create(
            id=identifier, defaults={"name": name[:200], "public_key": public_key}
        )
        record_event(actor=principal, action="trusted_key.added", subject=row, details={"key": identifier})
    return row


def distrust_key(*, principal: Principal, key: str) -> None:
    """Believe a key no longer.  What was imported by its word stays, and says so."""
    with transaction.atomic():
        row = TrustedKey.objects.select_for_update().filter(pk=key).first()
        if row is None:
            raise NotFound(f"There is no trusted key {key[:64]}.", hint="zoo_server signing_key trusted lists them.")
        record_event(actor=principal, action="trusted_key.removed", subject=row, details={"key": key})
        row.delete()


def believed_keys() -> dict[str, str]:
    """PEM text by id: this registry's own keys that were not revoked, and those of others that it trusts."""
    own = SigningKey.objects.filter(revoked_at=None).values_list("id", "public_key")
    return dict(TrustedKey.objects.values_list("id", "public_key")) | dict(own)
