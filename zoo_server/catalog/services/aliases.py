"""Moving pointers, and the history of where they pointed."""

import re

from django.db import transaction

from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.names import NAME_PATTERN
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Alias, AliasMove, Repository, Version
from zoo_server.catalog.services.authorisation import locked_version, require
from zoo_server.catalog.services.deletions import refuse_deleted
from zoo_server.rest.principals import Principal

RESERVED_ALIAS = "latest"


def set_alias(*, principal: Principal, version: Version, name: str) -> Alias:
    """Let the alias ``name`` of the version's repository point to it.  Doing it twice records one move.

    Raises:
        InvalidInput: the name is all digits, ``latest`` or malformed.
        Conflict: the version is a draft, withdrawn or deleted.

    """
    repository = version.repository
    require(principal=principal, repository=repository, scope=Scope.CURATE)
    _check_name(name)
    with transaction.atomic():
        Repository.objects.select_for_update(no_key=True).get(pk=repository.pk)
        version = locked_version(version)
        refuse_deleted(version)
        if version.state in {VersionState.DRAFT, VersionState.WITHDRAWN}:
            raise Conflict(
                f"{version} is {version.state}: an alias can only point to a sealed version that is not withdrawn.",
                facts={"state": version.state},
            )
        alias = Alias.objects.select_related("version").filter(repository=repository, name=name).first()
        before = alias.version if alias else None
        if alias is not None and before == version:
            return alias
        alias = alias or Alias(repository=repository, name=name)
        alias.version = version
        alias.save()
        _record_move(principal, alias, before, version)
    return alias


def remove_alias(*, principal: Principal, repository: Repository, name: str) -> None:
    """Remove an alias; its history stays.  Raises :class:`NotFound` when there is none of that name."""
    require(principal=principal, repository=repository, scope=Scope.CURATE)
    with transaction.atomic():
        Repository.objects.select_for_update(no_key=True).get(pk=repository.pk)
        alias = Alias.objects.select_related("version").filter(repository=repository, name=name).first()
        if alias is None:
            raise NotFound(f"{repository} has no alias {name!r}.")
        _record_move(principal, alias, alias.version, None)
        alias.delete()


def _check_name(name: str) -> None:
    if name == RESERVED_ALIAS or name.isdigit() or not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput(
            f"{name[:120]!r} cannot be an alias.",
            hint="Use lower case letters, digits, '.', '_' and '-', not digits alone and not 'latest'.",
            facts={"field": "alias"},
        )


def _record_move(principal: Principal, alias: Alias, before: Version | None, after: Version | None) -> None:
    AliasMove.objects.create(
        repository=alias.repository, name=alias.name, before=before, after=after, moved_by_id=principal.user_id
    )
    record_event(
        actor=principal,
        action="alias.moved" if after else "alias.removed",
        subject=alias,
        team=alias.repository.team.name,
        details={"before": before.number if before else None, "after": after.number if after else None},
    )
