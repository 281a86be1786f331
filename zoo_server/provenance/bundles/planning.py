"""What an import would do: which versions are here already, where the others go, and which bytes are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from zoo_sdk.bundles.checking import Verdict
from zoo_sdk.bundles.reading import Bundle, Entry
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_server.accounts.models import Team
from zoo_server.artifacts.models import Blob
from zoo_server.catalog.models import Repository, Version, VersionFile
from zoo_server.catalog.selectors import visible_versions
from zoo_server.provenance.kinds import Voucher
from zoo_server.provenance.models import ImportedVersion
from zoo_server.rest.principals import Principal

CHUNK = 5000
LONGEST_NAME = 96


class Outcome(StrEnum):
    """What becomes of a version: made, given the bytes that it lacked, or left alone because it is here."""

    CREATED = "created"
    COMPLETED = "completed"
    UNCHANGED = "unchanged"


@dataclass
class Planned:
    """A version of the bundle.  ``version``: the one that is here; ``name``: that of the repository it goes to."""

    entry: Entry
    verdict: Verdict
    outcome: Outcome = Outcome.CREATED
    version: Version | None = None
    repository: Repository | None = None
    name: str = ""
    lacking: list[VersionFile] = field(default_factory=list)


@dataclass
class Plan:
    """All versions of the bundle, parents first; ``missing``: digests that the team does not hold."""

    team: Team
    rows: list[Planned]
    missing: list[str]

    def local(self, parent: UUID | None) -> Version | None:
        """The version here for one of the bundle's, once it is made."""
        return next((row.version for row in self.rows if row.entry.id == parent), None)


def plan_import(
    *, principal: Principal, team: Team, bundle: Bundle, verdicts: Sequence[Verdict], name: str | None
) -> Plan:
    """Find what is here and names for what is not; nothing is changed.

    Raises:
        Conflict: a name is taken by something else, or what is here contradicts the bundle.
        InvalidInput: ``name`` is given, and the bundle's roots are versions of several models.

    """
    rows = [Planned(entry, verdict) for entry, verdict in zip(bundle.entries, verdicts, strict=True)]
    roots = {row.entry.record.repository.id for row in rows if row.entry.is_root}
    if name and len(roots) > 1:
        raise InvalidInput(
            f"The bundle was made for versions of {len(roots)} models or data sets: one name is not enough.",
            hint="Import into a team (--into TEAM); they keep their names there.",
            facts={"field": "name"},
        )
    here, known = _native(principal, rows), _known(principal, team, rows)
    for row in rows:
        _settle(row, here, known)
    _name_all(team, rows, name)
    wanted = {digest for row in rows if row.outcome is not Outcome.UNCHANGED for digest in row.entry.held}
    return Plan(team, rows, sorted(wanted - held_digests(team, wanted)))


def held_digests(team: Team, digests: set[str]) -> set[str]:
    """Those of the digests whose bytes the team holds."""
    listed, held = sorted(digests), set[str]()
    usable = Blob.objects.exclude(state__in=[Blob.State.DELETING, Blob.State.QUARANTINED])
    for start in range(0, len(listed), CHUNK):
        rows = usable.filter(pk__in=listed[start : start + CHUNK], holdings__team=team)
        held.update(rows.values_list("pk", flat=True))
    return held


def _native(principal: Principal, rows: Sequence[Planned]) -> Mapping[UUID, Version]:
    """Versions that were exported from this very registry."""
    return visible_versions(principal=principal).in_bulk([row.entry.id for row in rows])


def _known(principal: Principal, team: Team, rows: Sequence[Planned]) -> Mapping[UUID, Version]:
    """Versions that were imported before: by the team, or as ancestors by others on this registry's own word."""
    imports = ImportedVersion.objects.select_related("version__repository__team").order_by("imported_at")
    found = imports.filter(foreign_id__in=[row.entry.id for row in rows])
    seen = set(visible_versions(principal=principal).filter(imported__in=found).values_list("pk", flat=True))
    ancestors = {row.entry.id: row.entry.record.digest for row in rows if not row.entry.is_root}
    known: dict[UUID, Version] = {}
    for item in found:
        shared = (
            item.vouched_by == Voucher.REGISTRY
            and item.version_id in seen
            and ancestors.get(item.foreign_id) == item.foreign_digest
        )
        if item.team_id == team.pk:
            _check_same(item, {row.entry.id: row for row in rows}[item.foreign_id])
            known[item.foreign_id] = item.version
        elif shared:
            known.setdefault(item.foreign_id, item.version)
    return known


def _check_same(item: ImportedVersion, row: Planned) -> None:
    if item.foreign_digest != row.entry.record.digest:
        raise Conflict(
            f"{row.entry.reference} was imported before as {item.version}, with the digest {item.foreign_digest}; "
            f"the bundle says {row.entry.record.digest}.",
            hint="One of the two is not what its registry sealed: verify both.",
            facts={"reference": row.entry.reference, "version": str(item.version)},
        )


def _settle(row: Planned, here: Mapping[UUID, Version], known: Mapping[UUID, Version]) -> None:
    native = here.get(row.entry.id)
    if native is not None and native.digest == row.entry.record.digest:
        row.version, row.outcome = native, Outcome.UNCHANGED
        return
    row.version = known.get(row.entry.id)
    if row.version is None:
        return
    digests = {file.path: file.sha256 for file in row.entry.files if file.sha256 in row.entry.held}
    away = row.version.files.filter(blob=None, path__in=digests)
    row.lacking = [file for file in away if file.declared_sha256 in {"", digests[file.path]}]
    row.outcome = Outcome.COMPLETED if row.lacking else Outcome.UNCHANGED


def _name_all(team: Team, rows: Sequence[Planned], name: str | None) -> None:
    """A repository for every version that is to be made."""
    origins = _repositories_by_origin(team, rows)
    taken: dict[tuple[str, str], UUID] = {}
    for row in rows:
        if row.outcome is not Outcome.CREATED:
            continue
        record = row.entry.record.repository
        found = origins.get(record.id, [])
        wanted = name if name and row.entry.is_root else None
        row.repository = next((item for item in found if wanted in {None, item.name}), None)
        if row.repository is not None:
            row.name = row.repository.name
            continue
        choices = [wanted or record.name]
        if not row.entry.is_root:
            choices.append(f"{record.team}-{record.name}"[:LONGEST_NAME].rstrip("._-"))
        row.name = _free_name(team, row, choices, taken)
        taken[(record.kind, row.name)] = record.id


def _repositories_by_origin(team: Team, rows: Sequence[Planned]) -> dict[UUID, list[Repository]]:
    ids = {row.entry.record.repository.id for row in rows}
    imports = ImportedVersion.objects.filter(team=team, foreign_repository__in=ids)
    found: dict[UUID, list[Repository]] = {}
    for item in imports.select_related("version__repository__team").order_by("imported_at"):
        repository = item.version.repository
        if repository not in found.setdefault(item.foreign_repository, []):
            found[item.foreign_repository].append(repository)
    return found


def _free_name(team: Team, row: Planned, choices: Sequence[str], taken: Mapping[tuple[str, str], UUID]) -> str:
    record = row.entry.record.repository
    rows = Repository.objects.filter(team=team, kind=record.kind)
    for choice in choices:
        owner = taken.get((record.kind, choice))
        if owner == record.id or (owner is None and not rows.filter(name=choice).exists()):
            return choice
    raise Conflict(
        f"{row.entry.reference} would become a version of {team.name}/{choices[0]}, which is there already "
        "and is not from that origin.",
        hint="Choose another name (--as TEAM/NAME) or another team (--into TEAM).",
        facts={"reference": row.entry.reference, "name": f"{team.name}/{choices[0]}"},
    )
