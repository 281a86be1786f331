"""Which version a reference means, and everything that a version's description shows."""

from django.db.models import F, Func, JSONField, Prefetch, QuerySet

from zoo_sdk.errors import NotFound
from zoo_sdk.measures import find_measure
from zoo_sdk.names import Reference
from zoo_sdk.vocabulary import RepositoryKind
from zoo_server.catalog.models import (
    Alias,
    Artifact,
    LineageEdge,
    Metric,
    Repository,
    StateChange,
    Version,
    VersionFile,
)
from zoo_server.catalog.selectors.usable import usable
from zoo_server.catalog.selectors.visibility import get_repository, visible_versions
from zoo_server.rest.pagination import Order, Page, keyset_page
from zoo_server.rest.principals import Principal

LATEST = "latest"
MAX_NUMBER_DIGITS = 9


def resolve_version(*, principal: Principal, reference: str | Reference, kind: RepositoryKind) -> Version:
    """The version that a reference means: its number, its alias, or (none, ``latest``) the newest usable one.

    The newest is the usable version with the highest number.  A number finds a withdrawn or deleted version too: what
    may be done with it is the caller's decision, and ``version.deletion`` needs no query.  Raises :class:`NotFound`,
    also for what the caller may not see.
    """
    parsed = Reference.parse(reference) if isinstance(reference, str) else reference
    repository = get_repository(principal=principal, kind=kind, team=parsed.team, name=parsed.name)
    return version_of(principal=principal, repository=repository, selector=parsed.selector)


def version_of(*, principal: Principal, repository: Repository, selector: str | None) -> Version:
    """The version of a repository by number, alias (with or without ``@``) or, for None and ``latest``, the newest."""
    rows = visible_versions(principal=principal).filter(repository=repository).select_related("deletion")
    text = (selector or LATEST).removeprefix("@")
    if text == LATEST:
        found = usable(rows).order_by("-number").first()
        if found is None:
            raise NotFound(f"{repository} has no sealed version that you may see.", hint="Name a draft by its number.")
        return found
    if text.isascii() and text.isdigit():
        found = rows.filter(number=int(text)).first() if len(text) <= MAX_NUMBER_DIGITS else None
    else:
        found = rows.filter(aliases__name=text, aliases__repository=repository).first()
    if found is None:
        raise NotFound(
            f"There is no version {repository}@{text[:120]} that you may see.",
            hint=f"GET /api/v1/{repository.kind}s/{repository}/versions lists them.",
        )
    return found


def version_details(versions: QuerySet[Version], *, principal: Principal) -> QuerySet[Version]:
    """``versions`` with everything that a version's description shows, in a fixed number of queries.

    A parent or data set that the caller may not see is None in ``edge.parent`` or ``metric.dataset`` although its id
    is set.
    """
    seen = Version.objects.filter(pk__in=visible_versions(principal=principal).values("pk"))
    seen = seen.select_related("repository__team")
    files = with_short_facts(VersionFile.objects.select_related("mirror__upload"))
    kept = ("deletion__deleted_by", "pin__pinned_by")
    return versions.select_related("repository__team", "created_by", *kept).prefetch_related(
        Prefetch("files", files),
        Prefetch("artifacts", Artifact.objects.prefetch_related(Prefetch("files", files))),
        "strategy",
        Prefetch("parent_edges", LineageEdge.objects.order_by("id").prefetch_related(Prefetch("parent", seen))),
        Prefetch(
            "metrics",
            metric_details(Metric.objects.order_by("id"), principal=principal),
        ),
        Prefetch("aliases", Alias.objects.order_by("name")),
        Prefetch("state_changes", StateChange.objects.select_related("changed_by").order_by("id")),
    )


def with_short_facts(files: QuerySet[VersionFile]) -> QuerySet[VersionFile]:
    """``files`` with their blobs, whose facts come without the rows of tables, as ``file.told_facts``."""
    without_rows = "(%(expressions)s #- '{layers,rows}' #- '{weights,rows}')"
    told = Func(F("blob__facts"), template=without_rows, output_field=JSONField())
    return files.select_related("blob").defer("blob__facts").annotate(told_facts=told)


def metric_details(metrics: QuerySet[Metric], *, principal: Principal) -> QuerySet[Metric]:
    """``metrics`` with what their description shows."""
    seen = Version.objects.filter(pk__in=visible_versions(principal=principal).values("pk"))
    return metrics.select_related("created_by").prefetch_related(
        Prefetch("dataset", seen.select_related("repository__team")),
        Prefetch("artifact", Artifact.objects.prefetch_related("files")),
    )


def get_version_details(*, principal: Principal, version: Version) -> Version:
    """The version with everything that its description shows, as it is now."""
    rows = version_details(Version.objects.filter(pk=version.pk), principal=principal)
    found = rows.first()
    if found is None:
        raise NotFound(f"{version} was deleted.")
    return found


def get_file(*, version: Version, path: str) -> VersionFile:
    """A file of a version by its path."""
    found = version.files.select_related("blob").filter(path=path).first() if "\x00" not in path else None
    if found is None:
        raise NotFound(f"{version} has no file {path[:120]!r}.", hint="Its description lists its files.")
    return found


def inspected_file(*, version: Version, path: str) -> VersionFile:
    """A file of a version with its blob, its whole facts and the artifact that it is part of."""
    files = version.files.select_related("blob", "artifact").prefetch_related("artifact__files")
    found = files.filter(path=path).first() if "\x00" not in path else None
    if found is None:
        raise NotFound(f"{version} has no file {path[:120]!r}.", hint="Its description lists its files.")
    return found


def list_metrics(
    *, principal: Principal, version: Version, name: str | None = None, cursor: str | None, limit: int
) -> Page[Metric]:
    """The metrics of a version, newest first."""
    rows = Metric.objects.filter(version=version)
    if name:
        rows = rows.filter(name=find_measure(name).name)
    rows = metric_details(rows, principal=principal)
    return keyset_page(rows, [Order("id", descending=True)], cursor=cursor, limit=limit)
