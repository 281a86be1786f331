"""May this caller change that repository, and is the version still open to changes?"""

from zoo_sdk.errors import Conflict, NotFound
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.accounts.permissions import deny, team_scopes
from zoo_server.catalog.models import Repository, Version
from zoo_server.catalog.selectors import visible_repositories
from zoo_server.rest.principals import Principal


def require(*, principal: Principal, repository: Repository, scope: Scope) -> None:
    """Check that the caller holds ``scope`` in the repository's team.

    Raises:
        NotFound: the caller may not even see the repository.
        PermissionDenied: it may see it, but not do this.

    """
    if scope in team_scopes(principal=principal, team=repository.team):
        return
    if not visible_repositories(principal=principal).filter(pk=repository.pk).exists():
        raise NotFound(f"There is no {repository.kind} {str(repository)!r} that you may see.")
    deny(scope, repository.team.name)


def require_for_draft(*, principal: Principal, version: Version) -> None:
    """Check that the caller may complete or drop the draft: by ``write``, or by ``add`` if the caller made it."""
    is_own = principal.user_id is not None and version.created_by_id == principal.user_id
    require(principal=principal, repository=version.repository, scope=Scope.ADD if is_own else Scope.WRITE)


def locked_version(version: Version) -> Version:
    """The version's row as it is now, locked until the transaction ends.

    The lock is FOR NO KEY UPDATE: rows that merely refer to the version (a child's lineage) need not wait for it.
    """
    rows = Version.objects.select_for_update(no_key=True, of=("self",))
    rows = rows.select_related("repository__team", "created_by", "deletion")
    found = rows.filter(pk=version.pk).first()
    if found is None:
        raise NotFound(f"{version} was deleted.")
    return found


def locked_draft(*, principal: Principal, version: Version) -> Version:
    """The version, locked, if the caller may change it and it is a draft; :class:`Conflict` if it is sealed."""
    require_for_draft(principal=principal, version=version)
    draft = locked_version(version)
    if draft.state != VersionState.DRAFT:
        raise Conflict(
            f"{draft} is {draft.state}: it is sealed and cannot be changed.",
            hint="Make a new version.",
            facts={"state": draft.state},
        )
    if hasattr(draft, "deletion"):
        raise Conflict(f"{draft} was deleted with its {draft.repository.kind}.", hint="Restore it: `zoo restore`.")
    return draft
