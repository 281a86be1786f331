"""Adding numbers about versions."""

import math
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import transaction

from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.measures import find_measure
from zoo_sdk.vocabulary import MetricSource, RepositoryKind, Scope, VersionState
from zoo_server.audit.services import record_event
from zoo_server.catalog.models import Artifact, Metric, Version
from zoo_server.catalog.services.authorisation import locked_version, require
from zoo_server.rest.principals import Principal


class MetricContext(TypedDict, total=False):
    """Under which circumstances a value was found.  ``dataset``: held here; ``dataset_name``: any other, as text."""

    dataset: Version | None
    dataset_name: str
    split: str
    artifact: Artifact | None
    runtime: str
    device: str
    details: dict[str, Any]
    job_id: UUID | None


def add_metric(
    *,
    principal: Principal,
    version: Version,
    name: str,
    value: float,
    source: MetricSource,
    **context: Unpack[MetricContext],
) -> Metric:
    """Add a number to a version, also after it was sealed (not after it was withdrawn).

    Raises:
        UnknownName: ``name`` is not in :data:`zoo_sdk.measures.MEASURES`.
        InvalidInput: the value is not finite, or the data set or artifact does not fit.
        Conflict: the version was withdrawn.

    """
    require(principal=principal, repository=version.repository, scope=Scope.ADD)
    measure = find_measure(name)
    if not math.isfinite(value):
        raise InvalidInput(f"{name}={value} is not a finite number.", facts={"field": "value"})
    dataset, artifact = context.get("dataset"), context.get("artifact")
    if dataset is not None and dataset.repository.kind != RepositoryKind.DATASET:
        raise InvalidInput(f"{dataset} is a {dataset.repository.kind}, not a dataset.", facts={"field": "dataset"})
    if artifact is not None and artifact.version_id != version.pk:
        raise InvalidInput(f"The artifact {artifact.name!r} is not one of {version}.", facts={"field": "artifact"})
    if (source == MetricSource.MEASURED) != (context.get("job_id") is not None):
        raise InvalidInput("A metric is measured by a job of ours, or it is reported.", facts={"field": "source"})
    with transaction.atomic():
        current = locked_version(version)
        if current.state == VersionState.WITHDRAWN:
            raise Conflict(f"{version} is withdrawn: it takes no more metrics.", facts={"state": current.state})
        metric = Metric.objects.create(
            version=version,
            name=measure.name,
            value=value,
            source=source,
            created_by_id=principal.user_id,
            **context,
        )
        record_event(
            actor=principal,
            action="metric.added",
            subject=version,
            team=version.repository.team.name,
            details={"name": name, "value": value, "source": str(source)},
        )
    return metric
