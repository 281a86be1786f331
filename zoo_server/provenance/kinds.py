"""What an attestation says, and who vouches for what was imported."""

from enum import StrEnum


class AttestationKind(StrEnum):
    """``provenance``: how the version was made (SLSA).  ``signature``: which files it has (OpenSSF model signing)."""

    PROVENANCE = "provenance"
    SIGNATURE = "signature"


class Voucher(StrEnum):
    """By whose word an imported version is what its bundle says: a key that this registry trusts, a key that whoever
    imported it named, or nobody's (it was not signed).
    """

    REGISTRY = "registry"
    IMPORTER = "importer"
    NOBODY = "nobody"
