"""Whether what a bundle says of its versions is what a trusted key signed.

Signed are: which files a version has, what it was made from, and through the digest of its manifest also its artifacts,
strategy and data set description.  Cards, metrics, reports and bills of materials are signed by nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from zoo_sdk.attestations import (
    GIT_NAMES,
    MODEL_SIGNATURE_PREDICATE,
    PROVENANCE_PREDICATE,
    Statement,
    canonical,
)
from zoo_sdk.bundles import layout
from zoo_sdk.bundles.reading import Entry, ReadBlob
from zoo_sdk.errors import IntegrityError
from zoo_sdk.signed import IsSigned, Keys, opened, opened_bundle

NOT_PARENTS = frozenset({"plugin", "imported_from"})
"""Roles of what a statement depends on that are no parents."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a version of a bundle: which check found it, and what."""

    reference: str
    check: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reference}: {self.check} {self.reason}"


@dataclass
class Verdict:
    """What is known of a version's proof.  ``key``: the trusted key that signed its provenance; None: unsigned."""

    key: str | None = None
    faults: list[Fault] = field(default_factory=list)


def check_entry(entry: Entry, read: ReadBlob, keys: Keys, is_signed: IsSigned, *, unsigned: bool = False) -> Verdict:
    """Check one version; ``unsigned``: one without any attestation is taken, a wrong one never."""
    verdict = Verdict()
    _check_manifest(entry, verdict)
    provenance = entry.document(layout.PROVENANCE_TYPE)
    signature = entry.document(layout.SIGNATURE_TYPE)
    if provenance is None:
        if not unsigned or signature is not None:
            _add(verdict, entry, "attestation", "is missing")
        return verdict
    try:
        found = opened(read(provenance), keys, is_signed)
        _check_provenance(entry, found.statement, verdict)
        verdict.key = found.key
    except IntegrityError as error:
        _add(verdict, entry, "attestation", error.detail)
    if signature is not None:
        try:
            _check_signature(entry, opened_bundle(read(signature), keys, is_signed).statement, verdict)
        except IntegrityError as error:
            _add(verdict, entry, "signature", error.detail)
    return verdict


def _check_manifest(entry: Entry, verdict: Verdict) -> None:
    """The version's digest is that of its manifest, and the rest of the record does not contradict the manifest."""
    record, manifest = entry.record, entry.record.manifest
    found = f"sha256:{sha256(canonical(manifest)).hexdigest()}"
    if record.whole and found != record.digest:
        _add(verdict, entry, "manifest", f"has the digest {found}, not {record.digest}")
    if (manifest.get("reference"), manifest.get("kind")) != (record.reference, record.repository.kind):
        _add(verdict, entry, "manifest", f"is that of {str(manifest.get('reference'))[:120]}")
    if not record.whole:
        return
    told = sorted(
        [parent.role, parent.reference or "", parent.digest or "", parent.external_uri] for parent in record.parents
    )
    edges = manifest.get("lineage")
    listed = [edge for edge in edges if isinstance(edge, dict)] if isinstance(edges, list) else []
    names = ("role", "parent", "digest", "external_uri")
    if told != sorted([str(edge.get(name) or "") for name in names] for edge in listed):
        _add(verdict, entry, "manifest", "names other parents than its record")


def _check_provenance(entry: Entry, statement: Statement, verdict: Verdict) -> None:
    record = entry.record
    if statement.predicateType != PROVENANCE_PREDICATE:
        raise IntegrityError(f"is a {statement.predicateType}, no provenance")
    whole, *files = statement.subject
    named = (whole.name, whole.uri, f"sha256:{whole.digest.get('sha256')}")
    if named != (record.reference, f"urn:uuid:{record.id}", record.digest):
        raise IntegrityError(f"is that of {whole.name[:200]}, not of {record.reference} as it is in the bundle")
    signed = {file.name: f"sha256:{file.digest.get('sha256')}" for file in files}
    for path, digest in _digests(entry).items():
        if signed.get(path) != digest:
            _add(verdict, entry, "file", f"{path} is not as it was signed")
    for path in sorted(set(signed) - {file.path for file in entry.files}):
        _add(verdict, entry, "file", f"{path} was signed and is missing")
    if not _same_parents(_dependencies(statement), _parents(entry)):
        _add(verdict, entry, "attestation", "names other parents than the record")


def _dependencies(statement: Statement) -> list[tuple[str, str, str]]:
    definition = statement.predicate.get("buildDefinition")
    listed = definition.get("resolvedDependencies") if isinstance(definition, Mapping) else None
    found = []
    for item in listed if isinstance(listed, list) else []:
        annotations = item.get("annotations") if isinstance(item, Mapping) else None
        role = annotations.get("role") if isinstance(annotations, Mapping) else None
        if isinstance(role, str) and role not in NOT_PARENTS:
            digest = item.get("digest")
            value = digest.get("sha256") if isinstance(digest, Mapping) else None
            found.append((role, str(item.get("uri", "")), f"sha256:{value}" if value else ""))
    return sorted(found)


def _same_parents(signed: list[tuple[str, str, str]], told: list[tuple[str, str, str]]) -> bool:
    """A parent that was a draft when the statement was made has no digest in it."""
    return len(signed) == len(told) and all(
        (role, uri) == (other_role, other_uri) and digest in {"", other_digest}
        for (role, uri, digest), (other_role, other_uri, other_digest) in zip(signed, told, strict=True)
    )


def _parents(entry: Entry) -> list[tuple[str, str, str]]:
    """The record's parents, as a statement names them."""
    return sorted(
        (parent.role, f"urn:uuid:{parent.id}" if parent.id else parent.external_uri, parent.digest or "")
        for parent in entry.record.parents
    )


def _check_signature(entry: Entry, statement: Statement, verdict: Verdict) -> None:
    resources: Any = statement.predicate.get("resources")
    if statement.predicateType != MODEL_SIGNATURE_PREDICATE or not isinstance(resources, list):
        raise IntegrityError(f"is a {statement.predicateType}, no model signature")
    signed = {str(item.get("name")): f"sha256:{item.get('digest')}" for item in resources if isinstance(item, Mapping)}
    wanted = {path: digest for path, digest in _digests(entry).items() if path.split("/")[0] not in GIT_NAMES}
    if signed != wanted:
        _add(verdict, entry, "signature", "is over other files")


def _digests(entry: Entry) -> dict[str, str]:
    return {file.path: file.sha256 for file in entry.files if file.sha256}


def _add(verdict: Verdict, entry: Entry, check: str, reason: str) -> None:
    verdict.faults.append(Fault(entry.reference, check, reason))
