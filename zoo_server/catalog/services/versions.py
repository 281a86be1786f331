"""Making, describing and deleting drafts."""

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.deletion import ProtectedError

from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.vocabulary import RepositoryKind, Scope
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Repository, Version
from zoo_server.catalog.services.authorisation import locked_draft, require
from zoo_server.catalog.services.deletions import refuse_deleted_repository
from zoo_server.rest.principals import Principal

MAX_NOTES = 20_000


def create_version(
    *,
    principal: Principal,
    repository: Repository,
    notes: str = "",
    dataset: DatasetDescription | None = None,
    job_id: UUID | None = None,
) -> Version:
    """A new draft with the next number.

    The number is taken under the repository's row lock, so concurrent calls get different ones and a rolled back call
    leaves no gap.  Raises :class:`Conflict` when the repository is deleted.
    """
    require(principal=principal, repository=repository, scope=Scope.ADD)
    _check(repository, notes, dataset)
    with transaction.atomic():
        Repository.objects.filter(pk=repository.pk).update(last_number=F("last_number") + 1)
        refuse_deleted_repository(repository)
        number = Repository.objects.values_list("last_number", flat=True).get(pk=repository.pk)
        version = Version.objects.create(
            repository=repository,
            number=number,
            notes=notes,
            dataset=dataset.model_dump(mode="json") if dataset else None,
            job_id=job_id,
            created_by_id=principal.user_id,
        )
        details = {"job": str(job_id)} if job_id else {}
        _record(principal, "version.created", version, details)
    return version


def update_version(
    *,
    principal: Principal,
    version: Version,
    notes: str | None = None,
    dataset: DatasetDescription | None = None,
) -> Version:
    """Change a draft's notes or data set description; what is None stays."""
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        _check(draft.repository, notes or "", dataset)
        if notes is not None:
            draft.notes = notes
        if dataset is not None:
            draft.dataset = dataset.model_dump(mode="json")
        draft.save(update_fields=["notes", "dataset"])
        changed = [name for name, value in (("notes", notes), ("dataset", dataset)) if value is not None]
        _record(principal, "version.updated", draft, {"fields": changed})
    return draft


def delete_version(*, principal: Principal, version: Version) -> None:
    """Delete a draft.  Its number is not given again.  Raises :class:`Conflict` when it is sealed or in use."""
    with transaction.atomic():
        draft = locked_draft(principal=principal, version=version)
        _record(principal, "version.deleted", draft, {})
        try:
            draft.delete()
        except ProtectedError as error:
            raise Conflict(
                f"{version} is in use: as a parent, by a metric or by a job.", facts={"state": version.state}
            ) from error


def _check(repository: Repository, notes: str, dataset: DatasetDescription | None) -> None:
    if len(notes) > MAX_NOTES:
        raise InvalidInput(f"The notes are longer than {MAX_NOTES} characters.", facts={"field": "notes"})
    if dataset is not None and repository.kind != RepositoryKind.DATASET:
        raise InvalidInput(
            f"{repository} is a model: only a data set's version has a data set description.",
            facts={"field": "dataset"},
        )


def _record(principal: Principal, action: str, version: Version, details: Mapping[str, object]) -> None:
    record_event(
        actor=principal, action=action, subject=version, team=version.repository.team.name, details=dict(details)
    )
