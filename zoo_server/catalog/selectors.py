"""Reading the catalogue: what a caller may see, and which version a reference means."""

from django.db.models import Prefetch, Q, QuerySet

from zoo_sdk.errors import NotFound
from zoo_sdk.names import Reference
from zoo_sdk.vocabulary import RepositoryKind, Scope, VersionState, Visibility
from zoo_server.accounts.models import Membership
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
from zoo_server.rest.principals import Principal

LATEST = "latest"
MAX_NUMBER_DIGITS = 9


def visible_repositories(*, principal: Principal) -> QuerySet[Repository]:
    """The repositories that the caller may see: public ones, internal ones if signed in, those of its teams."""
    rows = Repository.objects.select_related("team")
    if not principal.may(Scope.READ):
        return rows.none()
    if principal.is_superuser:
        return rows
    if principal.is_anonymous:
        return rows.filter(visibility=Visibility.PUBLIC)
    return rows.filter(Q(team__in=_teams_of(principal)) | ~Q(visibility=Visibility.PRIVATE))


def visible_versions(*, principal: Principal) -> QuerySet[Version]:
    """The versions that the caller may see: those of visible repositories, drafts only as a member of the team."""
    rows = Version.objects.select_related("repository__team", "created_by")
    if not principal.may(Scope.READ):
        return rows.none()
    if principal.is_superuser:
        return rows
    sealed = ~Q(state=VersionState.DRAFT)
    if principal.is_anonymous:
        return rows.filter(sealed, repository__visibility=Visibility.PUBLIC)
    return rows.filter(
        Q(repository__team__in=_teams_of(principal)) | (sealed & ~Q(repository__visibility=Visibility.PRIVATE))
    )


def get_repository(*, principal: Principal, kind: RepositoryKind, team: str, name: str) -> Repository:
    """The repository of that name; raises :class:`NotFound` also when the caller may not see it."""
    found = visible_repositories(principal=principal).filter(kind=kind, team__name=team, name=name).first()
    if found is None:
        raise NotFound(
            f"There is no {RepositoryKind(kind).value} '{team}/{name}' that you may see.",
            hint="Check the spelling, or sign in as a member of its team.",
        )
    return found


def resolve_version(*, principal: Principal, reference: str | Reference, kind: RepositoryKind) -> Version:
    """The version that a reference means: its number, its alias, or (none, ``latest``) the newest usable one.

    The newest is the sealed, not withdrawn version with the highest number.  A number finds a withdrawn version too:
    what may be done with it is the caller's decision.  Raises :class:`NotFound`, also for what the caller may not see.
    """
    parsed = Reference.parse(reference) if isinstance(reference, str) else reference
    repository = get_repository(principal=principal, kind=kind, team=parsed.team, name=parsed.name)
    return version_of(principal=principal, repository=repository, selector=parsed.selector)


def version_of(*, principal: Principal, repository: Repository, selector: str | None) -> Version:
    """The version of a repository by number, alias (with or without ``@``) or, for None and ``latest``, the newest."""
    rows = visible_versions(principal=principal).filter(repository=repository)
    text = (selector or LATEST).removeprefix("@")
    if text == LATEST:
        found = rows.exclude(state__in=[VersionState.DRAFT, VersionState.WITHDRAWN]).order_by("-number").first()
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
    files = VersionFile.objects.select_related("blob")
    return versions.select_related("repository__team", "created_by").prefetch_related(
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


def _teams_of(principal: Principal) -> QuerySet[Membership, object]:
    return Membership.objects.filter(user_id=principal.user_id).values("team_id")
