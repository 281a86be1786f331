"""Rows as the bodies of the provenance routes."""

from typing import Any

from zoo_sdk.attestations import IN_TOTO_PAYLOAD, bundle_of, envelope_of
from zoo_server.provenance.api.answers import AncestorAnswer, AttestationsAnswer, SigningKeyAnswer
from zoo_server.provenance.models import Attestation, SigningKey
from zoo_server.provenance.selectors import Evidence


def describe_keys(keys: list[SigningKey]) -> list[SigningKeyAnswer]:
    """Keys, newest first, with what each is at present."""
    current = next((key.pk for key in keys if not key.retired_at and not key.revoked_at), None)
    return [_describe_key(key, is_current=key.pk == current) for key in keys]


def _describe_key(key: SigningKey, *, is_current: bool) -> SigningKeyAnswer:
    return SigningKeyAnswer(
        id=key.pk,
        algorithm=key.algorithm,
        public_key=key.public_key,
        state="revoked" if key.revoked_at else "current" if is_current else "retired",
        endorsement=key.endorsement,
        created_at=key.created_at,
        retired_at=key.retired_at,
        revoked_at=key.revoked_at,
        revocation_reason=key.revocation_reason,
    )


def describe_evidence(evidence: Evidence, keys: list[SigningKey]) -> AttestationsAnswer:
    """A version's attestations, its ancestors' provenance, and the keys to check them with."""
    return AttestationsAnswer(
        reference=str(evidence.version),
        digest=evidence.version.digest,
        provenance=_envelope(evidence.provenance) if evidence.provenance else None,
        signature=_bundle(evidence.signature) if evidence.signature else None,
        ancestors=[AncestorAnswer(reference=str(row.version), envelope=_envelope(row)) for row in evidence.ancestors],
        left_out=evidence.left_out,
        keys=describe_keys(keys),
    )


def _envelope(row: Attestation) -> dict[str, Any]:
    return envelope_of(IN_TOTO_PAYLOAD, bytes(row.payload), [(row.key_id, bytes(row.signature))])


def _bundle(row: Attestation) -> dict[str, Any]:
    return bundle_of(bytes(row.payload), row.key_id, bytes(row.signature))
