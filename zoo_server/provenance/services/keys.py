"""The life of signing keys: the first one, rotation, revocation; each with its audit event."""

from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from zoo_sdk.attestations import KEY_PAYLOAD, canonical, envelope_of, pae
from zoo_sdk.errors import Conflict, NotFound, ZooError
from zoo_server.audit.services import record_event
from zoo_server.provenance.key_files import ALGORITHM, PrivateKey, make_key, now_text, read_key
from zoo_server.provenance.models import Attestation, PendingAttestation, SigningKey
from zoo_server.rest.principals import Principal

KEYS_LOCK = 0x5A6F_6F4B
"""Key of the advisory lock under which keys come and go ("ZooK")."""
MAX_REASON = 300


def keys_folder() -> Path:
    """Where the private keys of this server are."""
    folder: Path = settings.ZOO_SIGNING_KEYS_DIR
    return folder


def current_key() -> SigningKey | None:
    """The key that signs; None while there is none."""
    return SigningKey.objects.filter(retired_at=None, revoked_at=None).order_by("-created_at").first()


def signing_key() -> PrivateKey | None:
    """The current key with its private half; None while no key was made.

    Raises:
        Unavailable, InvalidInput: there is one, but this process cannot use its file.

    """
    current = current_key()
    return read_key(keys_folder(), current.pk) if current else None


def ensure_key(*, principal: Principal) -> SigningKey:
    """The current key, made if there is none.  Safe to call at every start, and from several servers at once."""
    with transaction.atomic():
        _lock()
        return current_key() or _publish(principal, make_key(keys_folder()), before=None)


def rotate_key(*, principal: Principal) -> SigningKey:
    """Make a new key that signs from now on; the one before it vouches for it if its private half is here.

    A client that trusts the old key comes to trust the new one by that endorsement.  Without it (the old file is lost,
    or the key was revoked) people have to be told the new key's id another way.
    """
    with transaction.atomic():
        _lock()
        before = current_key()
        try:
            signer = read_key(keys_folder(), before.pk) if before else None
        except ZooError:
            signer = None
        made = _publish(principal, make_key(keys_folder()), before=signer)
        if before:
            SigningKey.objects.filter(pk=before.pk).update(retired_at=timezone.now())
    return made


def revoke_key(*, principal: Principal, key: str, reason: str) -> SigningKey:
    """Trust a key no longer; everything that it alone signed is signed anew by the current key.

    Raises:
        NotFound: there is no such key.
        Conflict: it is the current key (rotate first), or it was revoked before.

    """
    with transaction.atomic():
        _lock()
        found = SigningKey.objects.select_for_update().filter(pk=key).first()
        if found is None:
            raise NotFound(f"There is no signing key {key[:64]}.")
        if found.revoked_at is not None:
            raise Conflict(f"The key {found} was revoked before: {found.revocation_reason}")
        if found.retired_at is None and found == current_key():
            raise Conflict(f"The key {found} signs at present.", hint="Rotate first: zoo_server signing_key rotate.")
        found.revoked_at, found.revocation_reason = timezone.now(), reason[:MAX_REASON]
        found.save(update_fields=["revoked_at", "revocation_reason"])
        touched = Attestation.objects.filter(key=found).values_list("version_id", flat=True).distinct()
        PendingAttestation.objects.bulk_create(
            (PendingAttestation(version_id=version, due_at=found.revoked_at) for version in touched.iterator()),
            batch_size=1000,
            ignore_conflicts=True,
        )
        record_event(
            actor=principal, action="signing_key.revoked", subject=found, details={"key": key, "reason": reason[:300]}
        )
    return found


def _publish(principal: Principal, made: PrivateKey, *, before: PrivateKey | None) -> SigningKey:
    now = timezone.now()
    endorsement = _endorsed(made, before) if before else None
    row = SigningKey.objects.create(
        id=made.id, algorithm=ALGORITHM, public_key=made.public_key, endorsement=endorsement, created_at=now
    )
    details = {"key": made.id, "algorithm": ALGORITHM, "endorsed_by": before.id if before else None}
    record_event(actor=principal, action="signing_key.made", subject=row, details=details)
    return row


def _endorsed(made: PrivateKey, before: PrivateKey) -> dict[str, object]:
    content = canonical(
        {
            "key_id": made.id,
            "algorithm": ALGORITHM,
            "public_key": made.public_key,
            "endorsed_by": before.id,
            "time": now_text(),
        }
    )
    return envelope_of(KEY_PAYLOAD, content, [(before.id, before.sign(pae(KEY_PAYLOAD, content)))])


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KEYS_LOCK])
