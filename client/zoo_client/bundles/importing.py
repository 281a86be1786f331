"""Bringing a bundle into a registry: all of it is checked here first, then the registry gets what it lacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo_client.bundles.archive import Archive
from zoo_client.client import Client
from zoo_client.errors import VerificationFailed
from zoo_client.transfer.digests import Progress, digest_of_bytes, ignore_progress
from zoo_client.transfer.uploads import Uploader, upload_file
from zoo_client.trust.signatures import Keys, is_signed
from zoo_sdk.bundles.checking import Fault, check_entry
from zoo_sdk.bundles.reading import Bundle, Entry, read_bundle, read_reports
from zoo_sdk.errors import IntegrityError, InvalidInput

IMPORT_SECONDS = 600
"""A bundle of many versions is made in one transaction."""


@dataclass(frozen=True)
class Checked:
    """A bundle of which every byte and every signature was looked at.  ``unsigned``: references without a signature."""

    bundle: Bundle
    index: bytes
    size: int
    keys: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)

    @property
    def root(self) -> Entry:
        """The first of the versions that the bundle was made for."""
        return next(iter([entry for entry in self.bundle.entries if entry.is_root] or self.bundle.entries))


def check_archive(
    archive: Archive, keys: Keys, *, unsigned: bool = False, progress: Progress = ignore_progress
) -> Checked:
    """Check digests, documents, signatures and attestations, without any registry.

    Raises:
        IntegrityError: the archive or a document is wrong; says which.
        NewerFormat: a later Zoo wrote it.
        VerificationFailed: something is not what a trusted key signed; ``facts["findings"]`` lists all of it.

    """
    archive.check_blobs(progress)
    index = archive.index()
    bundle = read_bundle(index, archive.read)
    faults: list[Fault] = []
    used: set[str] = set()
    bare: list[str] = []
    for entry in bundle.entries:
        read_reports(entry, archive.read)
        verdict = check_entry(entry, archive.read, keys, is_signed, unsigned=unsigned)
        faults += verdict.faults
        if verdict.key:
            used.add(verdict.key)
        else:
            bare.append(entry.reference)
        faults += [
            Fault(entry.reference, "file", f"{digest} is not in the bundle as it says")
            for digest in sorted(entry.held)
            if archive.blobs.get(digest, (0, -1))[1] != bundle.sizes[digest]
        ]
    if faults:
        more = f", and {len(faults) - 1} more." if len(faults) > 1 else "."
        raise VerificationFailed(
            f"{archive.path} is not what its registry signed: {faults[0]}{more}",
            hint="Is the registry's key the right one (--key FILE)? `zoo keys export` prints it there.",
            facts={"findings": [vars(fault) for fault in faults]},
        )
    sizes = sum(size for digest, (_, size) in archive.blobs.items() if digest in bundle.sizes)
    return Checked(bundle, index, sizes, sorted(used), bare)


def trusted_by(client: Client) -> dict[str, str]:
    """The keys that a registry believes about versions in bundles: its own and those that its operators trust."""
    rows = client.api.get("keys/trusted")["results"]
    return {str(row["id"]): str(row["public_key"]) for row in rows}


@dataclass(frozen=True)
class Wish:
    """How a bundle is to be taken in.

    Args:
        team: where everything goes.
        name: what the model or data set that was exported is called there; default: as it was.
        keys: public keys (PEM) that the caller vouches for.
        unsigned: take versions without an attestation.
        dry_run: nothing is made, and no file is sent.

    """

    team: str
    name: str | None = None
    keys: Sequence[str] = ()
    unsigned: bool = False
    dry_run: bool = False


def import_archive(
    client: Client,
    archive: Archive,
    checked: Checked,
    wish: Wish,
    on_size: Callable[[int], Progress] = lambda _: ignore_progress,
) -> dict[str, Any]:
    """Send what the registry lacks and have the versions made; answers its report.

    The documents go first: the registry checks them again and says which files it needs, before any is sent.
    ``on_size`` is told the bytes of the files to be sent, and answers whom to tell of those that are sent.

    Raises:
        Conflict: a name is taken; the hint says what to do.
        PermissionDenied, NotFound: the caller may not write in that team.

    """
    uploader = client.uploader(wish.team)
    start, size = archive.names["index.json"]
    upload_file(uploader, archive.path, digest=digest_of_bytes(checked.index), name="index.json", part=(start, size))
    for digest in sorted(set(checked.bundle.documents())):
        _send(uploader, archive, digest, ignore_progress)
    body: dict[str, Any] = {"team": wish.team, "index": digest_of_bytes(checked.index), "keys": list(wish.keys)}
    body |= {"unsigned": True} if wish.unsigned else {}
    body |= {"name": wish.name} if wish.name else {}
    plan: dict[str, Any] = client.api.post("bundles/import", body | {"dry_run": True}, patience=IMPORT_SECONDS)
    missing = [digest for digest in plan["missing"] if digest in archive.blobs]
    if wish.dry_run:
        return plan
    progress = on_size(sum(archive.blobs[digest][1] for digest in missing))
    for digest in missing:
        _send(uploader, archive, digest, progress)
    report: dict[str, Any] = client.api.post("bundles/import", body, patience=IMPORT_SECONDS)
    return report


def target_of(checked: Checked, into: str | None, named: str | None) -> tuple[str, str | None]:
    """Team and name from ``--into`` and ``--as``; by default the team that the bundle's first root has."""
    if into and named:
        raise InvalidInput("--into and --as exclude each other.", hint="--as TEAM/NAME names the team as well.")
    if named is None:
        return into or checked.root.record.repository.team, None
    team, separator, name = named.partition("/")
    if not separator or not team or not name or "@" in name:
        raise InvalidInput(f"--as {named!r} is not of the form TEAM/NAME.")
    return team, name


def _send(uploader: Uploader, archive: Archive, digest: str, progress: Progress) -> None:
    if digest not in archive.blobs:
        raise IntegrityError(f"The bundle lacks {digest}, which it refers to.")
    upload_file(uploader, archive.path, digest=digest, name="blob", part=archive.blobs[digest], progress=progress)
