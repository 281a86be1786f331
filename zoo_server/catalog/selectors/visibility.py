"""What a caller may see of the catalogue; everything else is not found."""

from django.db.models import Q, QuerySet

from zoo_sdk.errors import NotFound
from zoo_sdk.vocabulary import RepositoryKind, Scope, VersionState, Visibility
from zoo_server.accounts.permissions import of_own_teams
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import Principal


def visible_repositories(*, principal: Principal) -> QuerySet[Repository]:
    """The repositories that the caller may see: public ones, internal ones if signed in, those of its teams."""
    rows = Repository.objects.select_related("team")
    if not principal.may(Scope.READ):
        return rows.none()
    if principal.is_superuser:
        return rows
    if principal.user_id is None:
        return rows.filter(visibility=Visibility.PUBLIC)
    return rows.filter(of_own_teams(principal) | ~Q(visibility=Visibility.PRIVATE))


def visible_versions(*, principal: Principal) -> QuerySet[Version]:
    """The versions that the caller may see: those of visible repositories, drafts only as a member of the team."""
    rows = Version.objects.select_related("repository__team", "created_by")
    if not principal.may(Scope.READ):
        return rows.none()
    if principal.is_superuser:
        return rows
    sealed = ~Q(state=VersionState.DRAFT)
    if principal.user_id is None:
        return rows.filter(sealed, repository__visibility=Visibility.PUBLIC)
    return rows.filter(
        of_own_teams(principal, "repository__team") | (sealed & ~Q(repository__visibility=Visibility.PRIVATE))
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
