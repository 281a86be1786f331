"""What takes room in a team: the bytes of its versions, and which models and data sets they belong to."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce

from zoo_sdk.vocabulary import VersionState
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Repository, Version, VersionFile

LARGEST = 50


@dataclass(frozen=True)
class RepositoryUse:
    """The versions of a model or data set, and their bytes; ``restorable``: bytes of deleted ones."""

    name: str
    kind: str
    versions: int
    size: int
    restorable: int


def logical_size(team: Team) -> int:
    """Bytes of the team's sealed versions, whatever they share.

    Tombstones count nothing, deleted versions until then, and remote files once they are mirrored.
    """
    sealed = Version.objects.filter(repository__team=team).exclude(state=VersionState.DRAFT)
    total = sealed.filter(deletion__buried_at=None).aggregate(size=Coalesce(Sum("size"), 0))["size"]
    away = VersionFile.objects.filter(version__in=sealed.filter(deletion__buried_at=None), blob=None)
    remote = away.exclude(address="").aggregate(size=Coalesce(Sum("declared_size"), 0))["size"]
    return max(0, int(total) - int(remote))


def largest_repositories(team: Team) -> list[RepositoryUse]:
    """The models and data sets of the team that take most room, the largest first."""
    counted = ~Q(versions__state=VersionState.DRAFT) & Q(versions__deletion__buried_at=None)
    rows = Repository.objects.filter(team=team).annotate(
        count=Count("versions", filter=counted),
        size=Coalesce(Sum("versions__size", filter=counted), 0),
        restorable=Coalesce(Sum("versions__size", filter=counted & Q(versions__deletion__isnull=False)), 0),
    )
    return [
        RepositoryUse(row.name, row.kind, row.count, int(row.size), int(row.restorable))
        for row in rows.filter(count__gt=0).order_by("-size", "name")[:LARGEST]
    ]
