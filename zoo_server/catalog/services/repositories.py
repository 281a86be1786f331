"""Making and describing repositories."""

import re
from typing import Any, Unpack

from django.db import IntegrityError, transaction

from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.names import NAME_PATTERN
from zoo_sdk.vocabulary import RepositoryKind, Scope
from zoo_server.accounts.models import Team
from zoo_server.accounts.permissions import deny, team_scopes
from zoo_server.audit.services import record_event
from zoo_server.catalog.cards import parse_card
from zoo_server.catalog.descriptions import RepositoryDescription, RepositoryFields
from zoo_server.catalog.models import Repository
from zoo_server.catalog.services.authorisation import require
from zoo_server.catalog.services.deletions import refuse_deleted_repository
from zoo_server.rest.principals import Principal


def create_repository(
    *, principal: Principal, team: Team, kind: RepositoryKind, name: str, **fields: Unpack[RepositoryFields]
) -> Repository:
    """A new model or data set of ``team``.  Empty licence and tags are filled from the card's front matter.

    Raises:
        NotFound, PermissionDenied: the caller is no member of the team, or lacks ``add``.
        Conflict: the name is taken.
        InvalidInput, pydantic.ValidationError: a name, field or card is wrong.

    """
    scopes = team_scopes(principal=principal, team=team)
    if not scopes:
        raise NotFound(f"There is no team {team.name!r} that you may see.", hint="See `zoo whoami` for your teams.")
    if Scope.ADD not in scopes:
        deny(Scope.ADD, team.name)
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidInput(
            f"{name[:120]!r} is not a valid name.",
            hint="Use lower case letters, digits, '.', '_' and '-', beginning and ending with a letter or digit.",
            facts={"field": "name"},
        )
    description = RepositoryDescription.model_validate(fields)
    repository = Repository(team=team, kind=kind, name=name, created_by_id=principal.user_id)
    _describe(repository, description.model_dump())
    with transaction.atomic():
        try:
            with transaction.atomic():
                repository.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict(
                f"There is already a {kind} named {repository}.",
                hint="Add a version to it (`zoo restore` first, if it was deleted), or choose another name.",
            ) from error
        record_event(
            actor=principal,
            action="repository.created",
            subject=repository,
            team=team.name,
            details={"kind": repository.kind, "visibility": repository.visibility},
        )
    return repository


def update_repository(
    *, principal: Principal, repository: Repository, **fields: Unpack[RepositoryFields]
) -> Repository:
    """Change the given describing fields; the others stay."""
    require(principal=principal, repository=repository, scope=Scope.WRITE)
    given = RepositoryDescription.model_validate(fields).model_dump(include=set(fields))
    with transaction.atomic():
        current = Repository.objects.select_for_update(no_key=True, of=("self",)).select_related("team")
        repository = current.get(pk=repository.pk)
        refuse_deleted_repository(repository)
        before = {name: getattr(repository, name) for name in RepositoryDescription.model_fields}
        _describe(repository, given)
        changed = {
            name: {"before": _short(old), "after": _short(getattr(repository, name))}
            for name, old in before.items()
            if old != getattr(repository, name)
        }
        if not changed:
            return repository
        repository.save()
        record_event(
            actor=principal,
            action="repository.updated",
            subject=repository,
            team=repository.team.name,
            details=changed,
        )
    return repository


def _describe(repository: Repository, given: dict[str, Any]) -> None:
    for name, value in given.items():
        setattr(repository, name, value)
    if "card" in given:
        card = parse_card(repository.card)
        repository.card_metadata = card.metadata
        repository.licence = repository.licence or card.licence
        repository.tags = repository.tags or card.tags


def _short(value: object) -> object:
    """What the audit log keeps of a changed value: a card is too long for it."""
    return value if not isinstance(value, str) or len(value) <= 300 else f"{len(value)} characters"
