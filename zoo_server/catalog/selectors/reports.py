"""What jobs found about a version that is more than a number."""

from uuid import UUID

from django.db.models import Prefetch, QuerySet

from zoo_sdk.errors import NotFound
from zoo_server.catalog.models import Artifact, Report, Version
from zoo_server.catalog.selectors.visibility import visible_versions
from zoo_server.rest.pagination import Order, Page, keyset_page
from zoo_server.rest.principals import Principal


def list_reports(
    *, principal: Principal, version: Version, kind: str | None = None, cursor: str | None, limit: int
) -> Page[Report]:
    """The reports about a version, newest first, without their content."""
    rows = _described(principal).filter(version=version).defer("content")
    if kind:
        rows = rows.filter(kind=kind)
    return keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)


def get_report(*, principal: Principal, version: Version, report: str) -> Report:
    """One report about a version, with its content."""
    try:
        identifier = UUID(report)
    except ValueError:
        identifier = UUID(int=0)
    found = _described(principal).filter(version=version, pk=identifier).first()
    if found is None:
        raise NotFound(f"{version} has no report {report[:80]!r}.", hint="GET its reports lists them.")
    return found


def _described(principal: Principal) -> QuerySet[Report]:
    """With the data set, if the caller may see it, and the artifact."""
    seen = Version.objects.filter(pk__in=visible_versions(principal=principal).values("pk"))
    return Report.objects.prefetch_related(
        Prefetch("dataset", seen.select_related("repository__team")),
        Prefetch("artifact", Artifact.objects.prefetch_related("files")),
    )
