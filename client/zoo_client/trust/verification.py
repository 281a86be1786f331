"""Checks a pulled folder without the registry: its files, its signature, its attestation and its ancestry.

Nothing in the folder is believed that a trusted key has not signed: the manifest and the names are compared with the
signed statements, never the other way round.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo_client.pulling import PullManifest, read_manifest
from zoo_client.transfer.digests import Progress, digest_of_file, ignore_progress
from zoo_client.trust.chain import Ancestry, walk_ancestry
from zoo_client.trust.material import ANCESTORS_NAME, PROVENANCE_NAME, SIGNATURE_NAME, read_material
from zoo_client.trust.signatures import Keys, opened, opened_bundle
from zoo_sdk.attestations import (
    GIT_NAMES,
    MANIFEST_NAME,
    MODEL_SIGNATURE_PREDICATE,
    PROVENANCE_FOLDER,
    PROVENANCE_PREDICATE,
)
from zoo_sdk.errors import IntegrityError

CHECKS = ("files", "signature", "attestation", "chain")
Digests = Mapping[str, str]
"""Path -> ``sha256:...``."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: which check found it, in which file, and what."""

    check: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.check}: {self.path} {self.reason}"


@dataclass
class Report:
    """The outcome.  ``registry`` and ``reference`` are what the signed attestation says, once it is believed."""

    manifest: PullManifest
    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    missing: list[str] = field(default_factory=list)
    reference: str = ""
    registry: str = ""
    key: str = ""
    ancestry: Ancestry = field(default_factory=Ancestry)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def add(self, check: str, path: str, reason: str) -> None:
        """Note a fault."""
        self.findings.append(Finding(check, path, reason))


def verify_pulled(folder: Path, keys: Keys, *, partial: bool = False, progress: Progress = ignore_progress) -> Report:
    """Check a folder that ``zoo pull`` made.

    Args:
        folder: the folder.
        keys: the public keys that are trusted.
        partial: files of the version may be missing (only an artifact of it was pulled).
        progress: hears the bytes that were hashed.

    Raises:
        NotFound, IntegrityError: it is no pulled folder.

    """
    report = Report(read_manifest(folder))
    material = read_material(folder)
    listed = {file.path: file.sha256 for file in report.manifest.files}
    attested = _attested(report, material.provenance, material.ancestors, keys)
    signed = _signed(report, material.signature, keys)
    if attested is not None and signed is not None and signed != _signable(attested):
        report.add("signature", f"{PROVENANCE_FOLDER}/{SIGNATURE_NAME}", f"is over other files than {report.reference}")
    promised = attested if attested is not None else signed if signed is not None else listed
    differing = [path for path, digest in listed.items() if promised.get(path, digest) != digest]
    for path in differing:
        report.add("files", MANIFEST_NAME, f"lists {path} with another digest than the signed one")
    _check_files(report, folder, promised, partial=partial, progress=progress)
    return report


def _attested(report: Report, text: str | None, ancestors: Sequence[str], keys: Keys) -> Digests | None:
    """The files that the provenance names, if it is signed by a trusted key and this version's."""
    place, manifest = f"{PROVENANCE_FOLDER}/{PROVENANCE_NAME}", report.manifest
    if text is None:
        report.add("attestation", place, "is missing")
        return None
    try:
        found = opened(text, keys)
    except IntegrityError as error:
        report.add("attestation", place, error.detail)
        return None
    whole, *files = found.statement.subject
    if found.statement.predicateType != PROVENANCE_PREDICATE:
        report.add("attestation", place, f"is a {found.statement.predicateType}, no provenance")
        return None
    if (whole.name, f"sha256:{whole.digest.get('sha256')}") != (manifest.reference, manifest.digest):
        report.add("attestation", place, f"is that of {whole.name}, not of {manifest.reference} as pulled")
        return None
    report.reference, report.key = whole.name, found.key
    parameters = found.statement.predicate.get("buildDefinition", {}).get("internalParameters", {})
    report.registry = str(parameters.get("registry", ""))
    report.ancestry = walk_ancestry(found.statement, ancestors, keys)
    for reason in report.ancestry.faults:
        report.add("chain", f"{PROVENANCE_FOLDER}/{ANCESTORS_NAME}", reason)
    return {file.name: f"sha256:{file.digest.get('sha256')}" for file in files}


def _signed(report: Report, text: str | None, keys: Keys) -> Digests | None:
    """The files that the model signature names, if a trusted key signed it."""
    place = f"{PROVENANCE_FOLDER}/{SIGNATURE_NAME}"
    if text is None:
        report.add("signature", place, "is missing")
        return None
    try:
        found = opened_bundle(text, keys).statement
    except IntegrityError as error:
        report.add("signature", place, error.detail)
        return None
    resources = found.predicate.get("resources")
    if found.predicateType != MODEL_SIGNATURE_PREDICATE or not isinstance(resources, list):
        report.add("signature", place, f"is a {found.predicateType}, no model signature")
        return None
    return {str(item.get("name")): f"sha256:{item.get('digest')}" for item in resources if isinstance(item, dict)}


def _signable(files: Digests) -> Digests:
    """Without those that model signatures leave out."""
    return {path: digest for path, digest in files.items() if path.split("/")[0] not in GIT_NAMES}


def _check_files(report: Report, folder: Path, promised: Digests, *, partial: bool, progress: Progress) -> None:
    """Every file in the folder is one that was promised, and the other way round."""
    seen = set()
    for path, place in _files_below(folder):
        seen.add(path)
        if path not in promised:
            report.add("files", path, "was added: it is no file of the version")
        elif place.is_symlink() or not place.is_file():
            report.add("files", path, "is no plain file")
        else:
            report.files += 1
            found = digest_of_file(place, progress)
            if found != promised[path]:
                report.add("files", path, f"was changed: it has the digest {found}, not {promised[path]}")
    report.missing = sorted(set(promised) - seen)
    if not partial:
        for path in report.missing:
            report.add("files", path, "is missing")
    elif not report.files:
        report.add("files", str(folder), "holds no file of the version")


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Everything that is not a folder, and links to folders, but for what a pull adds to the model."""
    ours = {MANIFEST_NAME, PROVENANCE_FOLDER}
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = [name for name in folders if name not in links and not (root == str(folder) and name in ours)]
        for name in sorted([*names, *links]):
            place = Path(root, name)
            path = place.relative_to(folder).as_posix()
            if path not in ours:
                yield path, place
