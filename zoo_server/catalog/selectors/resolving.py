"""Which versions several references mean, in one query however many there are."""

from collections.abc import Sequence

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from zoo_sdk.errors import NotFound
from zoo_sdk.names import Reference
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.models import Alias, Version
from zoo_server.catalog.selectors.usable import UNUSABLE, usable
from zoo_server.catalog.selectors.versions import LATEST, MAX_NUMBER_DIGITS
from zoo_server.catalog.selectors.visibility import visible_versions
from zoo_server.rest.principals import Principal


def resolve_versions(
    *, principal: Principal, references: Sequence[str], kind: RepositoryKind, details: QuerySet[Version] | None = None
) -> list[Version]:
    """The versions that the references mean, in their order, each once; see ``resolve_version`` for what one means.

    Args:
        principal: the caller.
        references: ``team/name@3``, ``team/name@alias`` or ``team/name`` for the newest usable one.
        kind: models or data sets.
        details: a query set of versions whose prefetches are used.

    Raises:
        NotFound: one of them does not exist, or the caller may not see it; names the first.
        InvalidInput: one of them is no reference.

    """
    parsed = [Reference.parse(text) for text in references]
    wanted = Q()
    for reference in parsed:
        wanted |= _condition(reference)
    visible = visible_versions(principal=principal).filter(wanted, repository__kind=kind)
    rows = (details if details is not None else Version.objects.all()).filter(pk__in=visible.values("pk"))
    rows = rows.select_related("repository__team", "deletion").prefetch_related(
        Prefetch("aliases", Alias.objects.order_by("name"))
    )
    found = list(rows)
    return list(dict.fromkeys(_chosen(reference, found) for reference in parsed))


def _condition(reference: Reference) -> Q:
    place = Q(repository__team__name=reference.team, repository__name=reference.name)
    selector = reference.selector or LATEST
    if selector == LATEST:
        newer = Version.objects.filter(repository=OuterRef("repository"), number__gt=OuterRef("number"))
        return place & Q(deletion=None) & ~Q(state__in=UNUSABLE) & ~Q(Exists(usable(newer)))
    if reference.number is not None:
        return place & Q(number=reference.number if len(selector) <= MAX_NUMBER_DIGITS else -1)
    alias = Alias.objects.filter(version=OuterRef("pk"), repository=OuterRef("repository"), name=selector)
    return place & Q(Exists(alias))


def _chosen(reference: Reference, rows: Sequence[Version]) -> Version:
    own = [row for row in rows if (row.repository.team.name, row.repository.name) == (reference.team, reference.name)]
    selector = reference.selector or LATEST
    if selector == LATEST:
        fitting = [row for row in own if row.state not in UNUSABLE and not hasattr(row, "deletion")]
        fitting = sorted(fitting, key=lambda row: row.number)[-1:]
    elif reference.number is not None:
        fitting = [row for row in own if row.number == reference.number]
    else:
        fitting = [row for row in own if any(alias.name == selector for alias in row.aliases.all())]
    if not fitting:
        raise NotFound(
            f"There is no model version {str(reference)[:120]!r} that you may see.",
            hint="Check the spelling, or sign in as a member of its team.",
        )
    return fitting[0]
