"""Adding what jobs found about versions that is more than a number."""

import json
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.messages import MAX_REPORT_BYTES
from zoo_sdk.vocabulary import Scope, VersionState
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Artifact, Report, Version
from zoo_server.catalog.services.authorisation import locked_version, require
from zoo_server.rest.principals import Principal


class ReportContext(TypedDict, total=False):
    """Under which circumstances it was found."""

    dataset: Version | None
    split: str
    artifact: Artifact | None
    runtime: str
    device: str


def add_report(
    *,
    principal: Principal,
    version: Version,
    kind: str,
    content: dict[str, Any],
    job_id: UUID,
    **context: Unpack[ReportContext],
) -> Report:
    """Add what a job found to a version, also after it was sealed (not after it was withdrawn).

    Raises:
        InvalidInput: it is larger than a report may be.
        Conflict: the version was withdrawn.

    """
    require(principal=principal, repository=version.repository, scope=Scope.WRITE)
    size = len(json.dumps(content))
    if size > MAX_REPORT_BYTES:
        raise InvalidInput(f"The {kind} report has {size:,} bytes, more than {MAX_REPORT_BYTES:,}.")
    with transaction.atomic():
        current = locked_version(version)
        if current.state == VersionState.WITHDRAWN:
            raise Conflict(f"{version} is withdrawn: it takes no more reports.", facts={"state": current.state})
        report = Report.objects.create(version=version, kind=kind, content=content, size=size, job_id=job_id, **context)
        record_event(
            actor=principal,
            action="report.added",
            subject=version,
            team=version.repository.team.name,
            details={"kind": kind, "size": size, "job": str(job_id)},
        )
    return report
