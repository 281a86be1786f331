"""Metrics: names of the registry, finite values, honest sources."""

from uuid import uuid4

import pytest

from tests.zoo_server.factories import make_member, principal_for
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import Conflict, InvalidInput, PermissionDenied, UnknownName
from zoo_sdk.vocabulary import MetricSource, TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services
from zoo_server.catalog.models import Metric, Repository, Version
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_draft

REPORTED, MEASURED = MetricSource.REPORTED, MetricSource.MEASURED


def test_a_metric_is_added_also_after_sealing(sealed: Version, principal: Principal) -> None:
    services.add_metric(
        principal=principal,
        version=sealed,
        name="top1",
        value=76.1,
        source=REPORTED,
        dataset_name="ImageNet",
        split="val",
    )
    stored = Metric.objects.get(version=sealed)
    assert (stored.value, stored.source, stored.dataset_name, stored.split) == (76.1, "reported", "ImageNet", "val")
    assert AuditEvent.objects.get(action="metric.added").details == {
        "name": "top1",
        "value": 76.1,
        "source": "reported",
    }


def test_an_unknown_name_is_refused_with_the_nearest(sealed: Version, principal: Principal) -> None:
    with pytest.raises(UnknownName, match="top1"):
        services.add_metric(principal=principal, version=sealed, name="top-1", value=1, source=REPORTED)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused(sealed: Version, principal: Principal, value: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        services.add_metric(principal=principal, version=sealed, name="top1", value=value, source=REPORTED)


def test_measured_means_by_a_job_and_reported_means_not(sealed: Version) -> None:
    with pytest.raises(InvalidInput, match="measured by a job"):
        services.add_metric(principal=SYSTEM, version=sealed, name="top1", value=1, source=MEASURED)
    with pytest.raises(InvalidInput, match="measured by a job"):
        services.add_metric(principal=SYSTEM, version=sealed, name="top1", value=1, source=REPORTED, job_id=uuid4())
    services.add_metric(principal=SYSTEM, version=sealed, name="top1", value=1, source=MEASURED, job_id=uuid4())


def test_the_data_set_must_be_one_and_the_artifact_of_this_version(model: Repository, sealed: Version) -> None:
    with pytest.raises(InvalidInput, match="not a dataset"):
        services.add_metric(principal=SYSTEM, version=sealed, name="top1", value=1, source=REPORTED, dataset=sealed)
    other = make_draft(model)
    description = ArtifactDescription(format="safetensors", files=("model.safetensors",))
    artifact = services.add_artifact(principal=SYSTEM, version=other, description=description)
    with pytest.raises(InvalidInput, match="not one of"):
        services.add_metric(principal=SYSTEM, version=sealed, name="top1", value=1, source=REPORTED, artifact=artifact)


def test_a_withdrawn_version_takes_no_metric(sealed: Version, principal: Principal) -> None:
    services.withdraw_version(principal=SYSTEM, version=sealed)
    with pytest.raises(Conflict, match="withdrawn"):
        services.add_metric(principal=principal, version=sealed, name="top1", value=1, source=REPORTED)


def test_a_reader_may_not_report(team: Team, sealed: Version) -> None:
    reader = principal_for(make_member(team, TeamRole.READER))
    with pytest.raises(PermissionDenied):
        services.add_metric(principal=reader, version=sealed, name="top1", value=1, source=REPORTED)
