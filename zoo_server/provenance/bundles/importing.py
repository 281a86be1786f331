"""Taking in a bundle: everything is checked first, then all of its versions are made in one transaction, or none."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from zoo_sdk.attestations import key_id
from zoo_sdk.bundles import layout
from zoo_sdk.bundles.checking import Fault, Verdict, check_entry
from zoo_sdk.bundles.reading import Bundle, ReadBlob, read_bundle
from zoo_sdk.errors import IntegrityError, PermissionDenied
from zoo_server.accounts.models import Team
from zoo_server.artifacts.collection import use_blob
from zoo_server.artifacts.selectors import blob_store, held_blob
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Version, VersionFile
from zoo_server.provenance.bundles.making import make_version
from zoo_server.provenance.bundles.planning import Outcome, Plan, Planned, plan_import
from zoo_server.provenance.key_files import is_signed_by
from zoo_server.provenance.kinds import Voucher
from zoo_server.provenance.models import ImportedVersion
from zoo_server.provenance.services.trusted_keys import believed_keys, checked_public_key
from zoo_server.rest.principals import Principal

SHOWN_FAULTS = 20


class UnprovenBundle(IntegrityError):
    """A version of the bundle is not what a trusted key signed; ``facts["faults"]`` lists what is wrong."""

    code = "unproven-bundle"


def import_bundle(
    *,
    principal: Principal,
    team: Team,
    index: str,
    name: str | None = None,
    keys: Sequence[str] = (),
    unsigned: bool = False,
    dry_run: bool = False,
) -> tuple[Bundle, Plan]:
    """Make the versions of a bundle whose blobs the team has uploaded; those that are here are left alone.

    The caller has checked that the principal may write in the team.

    Args:
        principal: on whose behalf.
        team: where everything goes.
        index: the digest of the bundle's ``index.json``.
        name: what the model (or data set) of the versions that were asked for is called here; default: as there.
        keys: public keys (PEM) that the caller vouches for, besides those that this registry trusts.
        unsigned: take versions that carry no attestation.
        dry_run: check and plan only; the files need not be here yet.

    Raises:
        NewerFormat: a later Zoo wrote it.
        UnprovenBundle: a signature, an attestation, or what they are about is wrong.
        IntegrityError: a document is missing, wrong, or contradicts another.
        Conflict: a name is taken, or bytes are missing.

    """
    if principal.user_id is None:
        raise PermissionDenied("An import needs an owner, and the caller is nobody.", hint="Sign in first.")
    read = _reader(team)
    bundle = read_bundle(read(index), read)
    given = {key_id(pem): pem for pem in map(checked_public_key, keys)}
    own = believed_keys()
    verdicts = check_all(bundle, read, own | given, unsigned=unsigned)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)  # one import of a team after the other
        plan = plan_import(principal=principal, team=team, bundle=bundle, verdicts=verdicts, name=name)
        if dry_run:
            return bundle, plan
        if plan.missing:
            raise IntegrityError(
                f"The team {team.name!r} does not hold {len(plan.missing)} files of the bundle.",
                hint="Upload them first: POST /api/v1/uploads.",
                facts={"missing": plan.missing[:10]},
            )
        for row in plan.rows:
            if row.outcome is Outcome.CREATED:
                row.version = make_version(principal, plan, row, read)
                _remember(principal, team, row, own, given, read)
            elif row.outcome is Outcome.COMPLETED and row.version is not None:
                _complete(principal, row.version, row)
        made = {outcome.value: sum(row.outcome is outcome for row in plan.rows) for outcome in Outcome}
        if made[Outcome.CREATED] or made[Outcome.COMPLETED]:
            details: dict[str, Any] = {"index": index, "registry": bundle.index.registry, **made}
            record_event(actor=principal, action="bundle.imported", subject=team, team=team.name, details=details)
    return bundle, plan


def check_all(bundle: Bundle, read: ReadBlob, keys: dict[str, str], *, unsigned: bool) -> list[Verdict]:
    """The verdict on every version; raises :class:`UnprovenBundle` if one of them has a fault."""
    verdicts = [check_entry(entry, read, keys, is_signed_by, unsigned=unsigned) for entry in bundle.entries]
    faults: list[Fault] = [fault for verdict in verdicts for fault in verdict.faults]
    if faults:
        more = f", and {len(faults) - 1} more faults" if len(faults) > 1 else ""
        raise UnprovenBundle(
            f"{faults[0]}{more}.",
            hint="Get the public key of the registry that made it and name it (--key FILE), or have it trusted here; "
            "--unsigned takes versions that nobody signed.",
            facts={"faults": [vars(fault) for fault in faults[:SHOWN_FAULTS]]},
        )
    return verdicts


def _reader(team: Team) -> ReadBlob:
    store = blob_store()

    def read(digest: str) -> bytes:
        blob = held_blob(team=team, sha256=digest)
        if blob.size > layout.MAX_DOCUMENT_BYTES:
            raise IntegrityError(f"{digest} has {blob.size} bytes: too many for a document of a bundle.")
        with store.open(digest) as file:
            return file.read()

    return read


def _remember(
    principal: Principal, team: Team, row: Planned, own: dict[str, str], given: dict[str, str], read: ReadBlob
) -> None:
    """Where the version comes from, for whoever looks at it later."""
    assert row.version is not None  # noqa: S101  it was just made
    assert principal.user_id is not None  # noqa: S101  checked at the beginning
    entry, key = row.entry, row.verdict.key
    voucher = Voucher.NOBODY if key is None else Voucher.REGISTRY if key in own else Voucher.IMPORTER
    told = {**entry.raw, "manifest": {**entry.raw["manifest"], "files": []}}
    provenance, signature = entry.document(layout.PROVENANCE_TYPE), entry.document(layout.SIGNATURE_TYPE)
    ImportedVersion.objects.create(
        version=row.version,
        team=team,
        registry=entry.record.registry[:300],
        foreign_id=entry.id,
        foreign_repository=entry.record.repository.id,
        foreign_reference=entry.reference[:300],
        foreign_digest=entry.record.digest,
        key=key or "",
        public_key=(own | given).get(key or "", ""),
        vouched_by=voucher,
        record=told,
        provenance=read(provenance) if provenance else None,
        signature=read(signature) if signature else None,
        imported_by_id=principal.user_id,
    )
    details = {
        "registry": entry.record.registry,
        "reference": entry.reference,
        "id": str(entry.id),
        "digest": entry.record.digest,
        "key": key,
        "vouched_by": voucher,
    }
    record_event(actor=principal, action="version.imported", subject=row.version, team=team.name, details=details)


def _complete(principal: Principal, version: Version, row: Planned) -> None:
    """Give a version that came as a record the bytes that it lacked."""
    digests = {file.path: file.sha256 for file in row.entry.files}
    for file in row.lacking:
        digest = str(digests[file.path])
        use_blob(digest)
        if VersionFile.objects.filter(pk=file.pk, blob=None).update(blob_id=digest) != 1:
            raise IntegrityError(f"{file.path} of {version} got other bytes meanwhile.")
    record_event(
        actor=principal,
        action="version.completed",
        subject=version,
        team=version.repository.team.name,
        details={"files": len(row.lacking), "registry": row.entry.record.registry},
    )
