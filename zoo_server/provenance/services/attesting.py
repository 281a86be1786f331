"""Attesting sealed versions: by a chore every few seconds, or sooner for whoever asks.

Sealing itself only writes an outbox row, so it is no slower for it.  Building and signing the statements of a version
takes about as long as sealing it did; of a hundred thousand files, seconds.  Doing it twice makes nothing twice.
"""

import logging
from collections.abc import Collection, Iterable
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from zoo_sdk.attestations import IN_TOTO_PAYLOAD, model_signature, pae
from zoo_sdk.errors import Unavailable, ZooError
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Version, VersionFile
from zoo_server.provenance.key_files import PrivateKey
from zoo_server.provenance.kinds import AttestationKind
from zoo_server.provenance.models import Attestation, PendingAttestation
from zoo_server.provenance.services.facts import Facts, facts_of
from zoo_server.provenance.services.keys import signing_key
from zoo_server.provenance.services.statements import provenance_statement, subject_name
from zoo_server.rest.principals import SYSTEM

LOG = logging.getLogger(__name__)
BATCH = 50
RETRY = timedelta(seconds=60)
LONGEST_RETRY = timedelta(hours=1)
MAX_ERROR = 500


def note_sealed(version: Version) -> None:
    """Note, in the transaction that seals ``version``, that it waits for its attestations."""
    _note([version.pk])


def attest_if_due(version_ids: Collection[UUID]) -> bool:
    """Attest those of the versions that still wait, for somebody who asks for them; whether anything was made."""
    waiting = PendingAttestation.objects.filter(version__in=version_ids, due_at__lte=timezone.now())
    due = list(waiting.values_list("version_id", flat=True)[:BATCH])
    return bool(due) and attest(due) > 0


def attest(version_ids: Collection[UUID]) -> int:
    """Make the attestations that these waiting versions lack; returns how many were made.

    A version that another process is attesting at this moment is passed over.  Without a usable key nothing is made and
    nothing is lost.
    """
    try:
        key = signing_key()
    except ZooError as error:
        LOG.error("Versions cannot be attested: %s", error)  # noqa: TRY400  the message says it all
        _postpone(version_ids, str(error))
        return 0
    if key is None:
        return 0
    try:
        with transaction.atomic():
            rows = PendingAttestation.objects.select_for_update(skip_locked=True, of=("self",))
            locked = list(rows.filter(version__in=version_ids).values_list("version_id", flat=True))
            made = _make(facts_of(locked), key)
            PendingAttestation.objects.filter(version__in=locked).delete()
    except (ZooError, DatabaseError, ValueError) as error:
        if len(version_ids) > 1:  # one of them must not hold up the others
            return sum(attest([version_id]) for version_id in version_ids)
        LOG.exception("Version %s cannot be attested.", next(iter(version_ids), None))
        _postpone(version_ids, f"{type(error).__name__}: {error}")
        return 0
    return made


def attest_pending() -> int:
    """Attest what waits and is due, and what was sealed before there was a key; returns how many were made."""
    total = 0
    while True:
        due = PendingAttestation.objects.filter(due_at__lte=timezone.now()).order_by("due_at")
        waiting = list(due.values_list("version_id", flat=True)[:BATCH])
        made = attest(waiting) if waiting else 0
        total += made
        if not made or len(waiting) < BATCH:
            return total


def queue_missing(*, limit: int = 10_000) -> int:
    """Put sealed versions without good attestations into the outbox; returns how many.

    That are those from before this app, those whose only key was revoked, and those whose remote files have arrived.
    """
    good = Attestation.objects.filter(version=OuterRef("pk"), key__revoked_at=None)
    provenance = good.filter(kind=AttestationKind.PROVENANCE)
    signature = good.filter(kind=AttestationKind.SIGNATURE)
    unknown = VersionFile.objects.filter(version=OuterRef("pk"), blob=None, declared_sha256="")
    files = VersionFile.objects.filter(version=OuterRef("pk"))
    sealed = Version.objects.exclude(sealed_at=None).exclude(pk__in=PendingAttestation.objects.values("version_id"))
    lacking = sealed.filter(~Exists(provenance)) | sealed.filter(Exists(files) & ~Exists(unknown) & ~Exists(signature))
    ids = list(lacking.values_list("pk", flat=True)[:limit])
    _note(ids)
    return len(ids)


def attest_now(version: Version) -> None:
    """Make what a sealed version lacks, with the current key; raises :class:`Unavailable` without a usable key."""
    if signing_key() is None:
        raise Unavailable(
            "This registry has no signing key yet.", hint="Its operator makes one: zoo_server signing_key ensure."
        )
    _note([version.pk])
    attest([version.pk])


def _note(version_ids: Iterable[UUID]) -> None:
    now = timezone.now()
    rows = (PendingAttestation(version_id=version_id, due_at=now) for version_id in version_ids)
    PendingAttestation.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)


def _make(found: Iterable[Facts], key: PrivateKey) -> int:
    made = 0
    found = list(found)
    held = Attestation.objects.filter(version__in=[facts.version for facts in found], key_id=key.id)
    have = set(held.values_list("version_id", "kind", "complete"))
    for facts in found:
        version = facts.version
        rows = [
            Attestation(
                version=version,
                kind=kind,
                key_id=key.id,
                complete=facts.complete,
                payload=payload,
                signature=key.sign(pae(IN_TOTO_PAYLOAD, payload)),
            )
            for kind, payload in _payloads(facts)
            if (version.pk, kind.value, facts.complete) not in have
        ]
        Attestation.objects.bulk_create(rows)
        made += len(rows)
        if rows:
            digests = {row.kind: f"sha256:{sha256(row.payload).hexdigest()}" for row in rows}
            record_event(
                actor=SYSTEM,
                action="version.attested",
                subject=version,
                team=version.repository.team.name,
                details={"key": key.id, "payloads": digests, "complete": facts.complete},
            )
    return made


def _payloads(facts: Facts) -> Iterable[tuple[AttestationKind, bytes]]:
    yield AttestationKind.PROVENANCE, provenance_statement(facts)
    if facts.complete and facts.files:
        yield AttestationKind.SIGNATURE, model_signature(subject_name(facts.version), facts.files)


def _postpone(version_ids: Collection[UUID], error: str) -> None:
    rows = PendingAttestation.objects.filter(version__in=version_ids)
    for row in rows:
        row.tries += 1
        row.error = error[:MAX_ERROR]
        row.due_at = timezone.now() + min(LONGEST_RETRY, RETRY * 2 ** min(row.tries, 10))
    PendingAttestation.objects.bulk_update(rows, ["tries", "error", "due_at"])
