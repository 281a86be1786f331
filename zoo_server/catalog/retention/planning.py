"""What a policy would do to the versions of a team, each with the reason.  Nothing is changed here.

A version goes when the first rule about its model says so, nothing keeps it (see
:mod:`zoo_server.catalog.selectors.keeping`), and it is no ancestor of a version that stays, whoever that belongs to.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from zoo_sdk.vocabulary import VersionState
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.catalog.retention.document import Policy, Rule
from zoo_server.catalog.selectors import visible_versions
from zoo_server.catalog.selectors.keeping import obstacles
from zoo_server.rest.principals import Principal

# Every edge below the candidates, and whether its child is deleted: whoever is not deleted, and goes not either, keeps
# all its ancestors.
_EDGES_BELOW = """
WITH RECURSIVE down(id) AS (
    SELECT unnest(%s::uuid[])
    UNION
    SELECT edge.child_id FROM down JOIN catalog_lineageedge AS edge ON edge.parent_id = down.id
)
SELECT edge.parent_id, edge.child_id, deletion.id IS NOT NULL
FROM down JOIN catalog_lineageedge AS edge ON edge.parent_id = down.id
LEFT JOIN catalog_deletion AS deletion ON deletion.version_id = edge.child_id
"""


@dataclass(frozen=True)
class Verdict:
    """Whether a version goes, and why or why not: the end of a sentence that begins with its name."""

    version: Version
    goes: bool
    reason: str


def plan_retention(*, principal: Principal, team: Team, policy: Policy, now: datetime | None = None) -> list[Verdict]:
    """A verdict for each version of ``team`` that is not deleted: what goes first, then by name, the newest first.

    Reasons name a version of another team only as far as the caller may see it.
    """
    rows = Version.objects.filter(repository__team=team, deletion=None)
    chosen: dict[UUID, str] = {}
    kept: dict[UUID, str] = {}
    versions = list(_in_order(rows))
    for family in _by_repository(versions):
        for version, goes, reason in _by_rules(policy, family, now or timezone.now()):
            (chosen if goes else kept)[version.pk] = reason
    if chosen:
        for pk, obstacle in obstacles(rows).items():
            if chosen.pop(pk, None) is not None:
                kept[pk] = obstacle.reason
        for pk, keeper in _ancestors_of_kept(principal, chosen).items():
            del chosen[pk]
            kept[pk] = f"is an ancestor of {keeper}"
    verdicts = [
        Verdict(version, version.pk in chosen, chosen.get(version.pk) or kept[version.pk]) for version in versions
    ]
    return sorted(verdicts, key=lambda verdict: not verdict.goes)


def _in_order(rows: QuerySet[Version]) -> QuerySet[Version]:
    told = ("number", "state", "size", "sealed_at", "repository__name", "repository__kind", "repository__team__name")
    rows = rows.select_related("repository__team").only(*told)
    return rows.order_by("repository__kind", "repository__name", "-number")


def _by_repository(versions: Iterable[Version]) -> Iterable[list[Version]]:
    families: dict[UUID, list[Version]] = defaultdict(list)
    for version in versions:
        families[version.repository_id].append(version)
    return families.values()


def _by_rules(policy: Policy, family: list[Version], now: datetime) -> Iterable[tuple[Version, bool, str]]:
    """What the rules alone say about the versions of one model, the newest first."""
    repository = family[0].repository
    found = ((n, rule) for n, rule in enumerate(policy.rules, 1) if rule.is_about(repository.kind, repository.name))
    number, rule = next(found, (0, None))
    rank = 0
    for version in family:
        if version.state == VersionState.DRAFT:
            yield version, False, "is a draft"
            continue
        rank += 1
        if rule is None:
            yield version, False, "no rule is about it"
        else:
            goes, reason = _by_rule(rule, version, rank, now)
            yield version, goes, f"{reason} (rule {number})"


def _by_rule(rule: Rule, version: Version, rank: int, now: datetime) -> tuple[bool, str]:
    reasons = []
    if rule.keep_last is not None:
        if rank <= rule.keep_last:
            return False, f"is one of the newest {rule.keep_last}"
        reasons.append(f"is not one of the newest {rule.keep_last}")
    if rule.older_than_days is not None:
        if version.sealed_at is None or version.sealed_at > now - timedelta(days=rule.older_than_days):
            return False, f"is not older than {rule.older_than_days} days"
        reasons.append(f"is older than {rule.older_than_days} days")
    return True, " and ".join(reasons)


def _ancestors_of_kept(principal: Principal, chosen: Collection[UUID]) -> dict[UUID, str]:
    """Those of ``chosen`` from which a version comes that stays, and that version's name."""
    with connection.cursor() as cursor:
        cursor.execute(_EDGES_BELOW, [list(chosen)])
        edges = cursor.fetchall()
    parents: dict[UUID, set[UUID]] = defaultdict(set)
    for parent, child, _ in edges:
        parents[child].add(parent)
    keeper = {child: child for _, child, deleted in edges if not deleted and child not in chosen}
    waiting = list(keeper)
    while waiting:
        child = waiting.pop()
        for parent in parents[child]:
            if parent not in keeper:
                keeper[parent] = keeper[child]
                waiting.append(parent)
    kept = {pk: keeper[pk] for pk in chosen if pk in keeper}
    names = visible_versions(principal=principal).in_bulk(set(kept.values()))
    return {pk: str(names.get(by, "a version that you may not see")) for pk, by in kept.items()}
