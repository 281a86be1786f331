"""Pinning versions: while it is pinned, neither a person nor a retention policy deletes a version."""

from django.db import transaction

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Pin, Version
from zoo_server.catalog.services.authorisation import locked_version, require
from zoo_server.catalog.services.deletions import MAX_REASON, refuse_deleted
from zoo_server.rest.principals import Principal


def pin_version(*, principal: Principal, version: Version, reason: str = "") -> None:
    """Keep the version.  Pinning it again replaces who and why.

    Raises:
        Conflict: it is deleted, or a draft.

    """
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason is longer than {MAX_REASON} characters.", facts={"field": "reason"})
    with transaction.atomic():
        current = locked_version(version)
        refuse_deleted(current)
        if current.state == VersionState.DRAFT:
            raise Conflict(f"{current} is a draft.", hint="Seal it first.", facts={"state": current.state})
        Pin.objects.update_or_create(version=current, defaults={"reason": reason, "pinned_by_id": principal.user_id})
        _record(principal, "version.pinned", current, {"reason": reason})


def unpin_version(*, principal: Principal, version: Version) -> None:
    """Keep it no longer.  Idempotent."""
    require(principal=principal, repository=version.repository, scope=Scope.CURATE)
    with transaction.atomic():
        current = locked_version(version)
        if Pin.objects.filter(version=current).delete()[0]:
            _record(principal, "version.unpinned", current, {})


def _record(principal: Principal, action: str, version: Version, details: dict[str, object]) -> None:
    record_event(actor=principal, action=action, subject=version, team=version.repository.team.name, details=details)
