"""How much room teams take, and how much they may.

*Physical* are the bytes that a team possesses, each blob once, and those that its open uploads reserve.  Triggers
(migration 0005) count both in :class:`~zoo_server.artifacts.models.TeamStorage` within the change itself, so no count
is ever stale, and the row's lock lets uploads of a team be accepted one after the other: together they never exceed the
quota.  *Logical* are the bytes of the team's versions, whatever they share; an app above counts them
(:func:`count_logical_with`), and asks here before it adds some.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import require_superuser
from zoo_server.artifacts.models import TeamStorage
from zoo_server.audit.services import record_event
from zoo_server.rest.principals import Principal
from zoo_server.rest.problems import TooLarge

PHYSICAL, LOGICAL = "physical", "logical"
_COUNTERS: list[Callable[[Team], int]] = []


class QuotaExceeded(TooLarge):
    """The team's quota has no room for it; ``facts`` holds the measure, what is used and reserved, and the quota."""

    code = "quota-exceeded"


@dataclass(frozen=True)
class Use:
    """Bytes of one measure; ``quota`` None: no limit."""

    used: int
    reserved: int
    quota: int | None


def count_logical_with(counter: Callable[[Team], int]) -> None:
    """Have ``counter`` called for the bytes of a team's versions.  Registering twice counts once."""
    if counter not in _COUNTERS:
        _COUNTERS.append(counter)


def use_of(team: Team) -> dict[str, Use]:
    """What the team uses, by measure."""
    row = TeamStorage.objects.filter(team=team).first() or TeamStorage(team=team)
    return {
        PHYSICAL: Use(row.held, row.reserved, row.physical_quota),
        LOGICAL: Use(_logical(team), row.reserved, row.logical_quota),
    }


def check_reserved(team: Team, size: int) -> None:
    """After an upload of ``size`` bytes was opened, in the same transaction: is there room for it?

    Raises:
        QuotaExceeded: there is none.

    """
    row = TeamStorage.objects.select_for_update().filter(team=team).first()
    if row is None:
        return
    before = row.reserved - size
    if row.physical_quota is not None and row.held + row.reserved > row.physical_quota:
        raise _exceeded(team, PHYSICAL, Use(row.held, before, row.physical_quota), size)
    if row.logical_quota is not None and (used := _logical(team)) + row.reserved > row.logical_quota:
        raise _exceeded(team, LOGICAL, Use(used, before, row.logical_quota), size)


def check_logical(team: Team, size: int) -> None:
    """Before the team's versions grow by ``size`` bytes, in the transaction that does it.

    Raises:
        QuotaExceeded: there is no room.

    """
    row = TeamStorage.objects.select_for_update().filter(team=team, logical_quota__isnull=False).first()
    if row is None or row.logical_quota is None:
        return
    if (used := _logical(team)) + size > row.logical_quota:
        raise _exceeded(team, LOGICAL, Use(used, 0, row.logical_quota), size)


def set_quota(*, principal: Principal, team: Team, physical: int | None, logical: int | None) -> None:
    """Limit a team to so many bytes (None: no limit).  What it has beyond that stays; new uploads are refused.

    Raises:
        PermissionDenied: the caller is no superuser.

    """
    require_superuser(principal)
    with transaction.atomic():
        values = {"physical_quota": physical, "logical_quota": logical}
        row, _ = TeamStorage.objects.update_or_create(team=team, defaults=values)
        record_event(actor=principal, action="quota.set", subject=row, team=team.name, details=values)


def _logical(team: Team) -> int:
    return sum(counter(team) for counter in _COUNTERS)


def _exceeded(team: Team, measure: str, use: Use, size: int) -> QuotaExceeded:
    meaning = "the bytes it possesses" if measure == PHYSICAL else "the bytes of its versions"
    return QuotaExceeded(
        f"{size} bytes do not fit into the {measure} quota of {team} ({meaning}): "
        f"{use.used} bytes are used and {use.reserved} reserved by uploads, of {use.quota}.",
        hint=f"`zoo team usage {team}` shows what takes room. Delete what nobody needs (it is free when its time "
        "to be restored is over), give up unfinished uploads, or ask the operators for a larger quota.",
        facts={"measure": measure, "used": use.used, "reserved": use.reserved, "quota": use.quota, "size": size},
    )
