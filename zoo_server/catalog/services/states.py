"""The life of a version: sealed, approved, deprecated, withdrawn."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.errors import Conflict, InvalidInput, UnknownName
from zoo_sdk.vocabulary import RepositoryKind, Scope, VersionState
from zoo_server.artifacts.quotas import check_logical
from zoo_server.audit.services import record_event
from zoo_server.catalog.manifest import manifest_digest, manifest_of
from zoo_server.catalog.models import ARROWS, StateChange, Version
from zoo_server.catalog.services.authorisation import locked_version, require, require_for_draft
from zoo_server.catalog.services.deletions import refuse_deleted
from zoo_server.catalog.services.listeners import tell_sealed
from zoo_server.rest.principals import Principal

MAX_COMMENT = 5000
DATASET_PARTS = {
    "idx": frozenset({"images", "labels"}),
    "npz": frozenset({"archive"}),
    "image-folder": frozenset({"folder"}),
}
"""By format of a data set: what a split names in the version.  A folder that is not named is the version itself."""
DATASET_ARRAYS = {"npz": frozenset({"images", "labels"})}
"""What a split may name besides: arrays inside the archive."""
DANGEROUS = "dangerous"
"""The severity of a finding that keeps a version from being approved."""


def seal_version(*, principal: Principal, version: Version, comment: str = "", may_be_empty: bool = False) -> Version:
    """Fix a draft for ever: ``draft -> candidate``, with the digest of its manifest and its size.

    ``may_be_empty``: a row of a catalogue of which only the figures are known has no file.

    Raises:
        Conflict: it is not a draft.
        QuotaExceeded: the team's logical quota has no room for it.
        InvalidInput: it has no file, or a data set lacks its description or a file that the description names.

    """
    require_for_draft(principal=principal, version=version)
    with transaction.atomic():
        draft = _expect(version, VersionState.CANDIDATE)
        manifest = manifest_of(draft)
        if not manifest["files"] and not may_be_empty:
            raise InvalidInput(f"{draft} has no file.", hint="Add at least one before sealing it.")
        if draft.repository.kind == RepositoryKind.DATASET:
            _check_dataset(draft, [file["path"] for file in manifest["files"]])
        size = sum(file["size"] or 0 for file in manifest["files"])
        check_logical(draft.repository.team, size)
        facts = {
            "digest": manifest_digest(manifest),
            "size": size,
            "sealed_at": timezone.now(),
        }
        details = {"digest": facts["digest"], "files": len(manifest["files"])}
        sealed = _move(principal, draft, VersionState.CANDIDATE, comment, facts=facts, details=details)
        tell_sealed(sealed)
    return sealed


def approve_version(*, principal: Principal, version: Version, comment: str = "") -> Version:
    """``candidate | deprecated -> approved``; refused while a file has a dangerous finding or is not mirrored."""
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    with transaction.atomic():
        current = _expect(version, VersionState.APPROVED)
        _check_findings(current)
        return _move(principal, current, VersionState.APPROVED, comment)


def deprecate_version(*, principal: Principal, version: Version, comment: str = "") -> Version:
    """``approved -> deprecated``: still served, no longer recommended."""
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    with transaction.atomic():
        return _move(principal, _expect(version, VersionState.DEPRECATED), VersionState.DEPRECATED, comment)


def withdraw_version(*, principal: Principal, version: Version, comment: str = "") -> Version:
    """``candidate | approved | deprecated -> withdrawn``: its files answer 410 from now on, its history stays."""
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    with transaction.atomic():
        return _move(principal, _expect(version, VersionState.WITHDRAWN), VersionState.WITHDRAWN, comment)


def _expect(version: Version, after: VersionState) -> Version:
    """The version, locked, if an arrow leads from its state to ``after``; else a conflict that names the state."""
    current = locked_version(version)
    refuse_deleted(current)
    if after not in ARROWS[VersionState(current.state)]:
        sources = [str(before) for before, targets in ARROWS.items() if after in targets]
        raise Conflict(
            f"{current} is {current.state}; it becomes {after} from {' or '.join(sources)} only.",
            facts={"state": current.state},
        )
    return current


def _move(
    principal: Principal,
    version: Version,
    after: VersionState,
    comment: str,
    *,
    facts: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
) -> Version:
    """Compare and set, the row of the history and the audit event."""
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"The comment is longer than {MAX_COMMENT} characters.", facts={"field": "comment"})
    before = version.state
    changed = {"state": after, **(facts or {})}
    if Version.objects.filter(pk=version.pk, state=before).update(**changed) != 1:
        raise Conflict(f"{version} is not {before} any more.")
    for name, value in changed.items():
        setattr(version, name, value)
    StateChange.objects.create(
        version=version, before=before, after=after, comment=comment, changed_by_id=principal.user_id
    )
    record_event(
        actor=principal,
        action=f"version.{'sealed' if after is VersionState.CANDIDATE else after}",
        subject=version,
        team=version.repository.team.name,
        details={"before": before, "comment": comment, **(details or {})},
    )
    return version


def _check_findings(version: Version) -> None:
    for file in version.files.select_related("blob").exclude(blob__findings=[]):
        for finding in file.held().findings:
            if finding.get("severity") == DANGEROUS:
                raise Conflict(
                    f"{version} cannot be approved: {file.path!r} is dangerous: {finding.get('reason', finding)}",
                    hint="Make a version without this file, for example as safetensors.",
                    facts={"state": version.state, "path": file.path, "finding": finding},
                )


def _check_dataset(draft: Version, paths: list[str]) -> None:
    """Every file that the description names is there."""
    if draft.dataset is None:
        raise InvalidInput(
            f"{draft} is a data set without a description of its splits.",
            hint='PATCH the version with {"dataset": ...} before sealing it.',
            facts={"field": "dataset"},
        )
    description = DatasetDescription.model_validate(draft.dataset)
    needed, known = DATASET_PARTS[description.format], set(paths)
    for split, values in description.splits.items():
        unknown = set(values) - needed - DATASET_ARRAYS.get(description.format, frozenset())
        if unknown:
            raise UnknownName(f"part of the split {split!r}", min(unknown), needed)
        for part in sorted(needed):
            value = values.get(part, "")
            prefix = value.strip("/")
            held = value in known if part != "folder" else any(path.startswith(f"{prefix}/") for path in paths)
            if not held and not (part == "folder" and not prefix):
                raise InvalidInput(
                    f"The split {split!r} names {part} {value!r}, which {draft} does not have.",
                    facts={"field": f"dataset.splits.{split}.{part}"},
                )
