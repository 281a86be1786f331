"""What an attestation says."""

from enum import StrEnum


class AttestationKind(StrEnum):
    """``provenance``: how the version was made (SLSA).  ``signature``: which files it has (OpenSSF model signing)."""

    PROVENANCE = "provenance"
    SIGNATURE = "signature"
