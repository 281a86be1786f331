"""What the scan of a version's files keeps from workers."""

from uuid import uuid4

import pytest

from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.scenes import make_blob, make_model, owner_of
from zoo_sdk.operations import Port
from zoo_server.accounts.models import Team
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Version
from zoo_server.jobs.requests import InputRequest
from zoo_server.jobs.services.faults import Fault
from zoo_server.jobs.services.inputs import choose_inputs

pytestmark = pytest.mark.django_db


def faults_of(team: Team, version: Version, taken: str = "safetensors") -> list[Fault]:
    manifest = manifests.manifest("toy.look", inputs=(Port(name="model", formats=(taken,)),))
    requested = {"model": [InputRequest(version=str(version))]}
    return choose_inputs(principal=owner_of(team), manifest=manifest, requested=requested)[1]


def test_a_dangerous_file_beside_the_artifact_keeps_the_version_from_workers(team: Team) -> None:
    version = make_model(team, "mixed", sealed=False)
    trap = make_blob("trap", "pickle", [{"severity": "dangerous", "reason": "os.system"}])
    catalog.add_file(principal=owner_of(team), version=version, path="old.pth", blob=trap)
    catalog.seal_version(principal=owner_of(team), version=version)
    (found,) = faults_of(team, version)
    assert "old.pth" in found.message
    assert "dangerous" in found.message


def test_suspicious_files_are_handed_out(team: Team) -> None:
    version = make_model(team, "odd", findings=[{"severity": "suspicious", "reason": "models.yolo.Model"}])
    assert faults_of(team, version) == []


def test_a_plan_is_handed_out_only_if_a_job_here_made_it(team: Team) -> None:
    version = make_model(team, "engine", "tensorrt-plan")
    (found,) = faults_of(team, version, "tensorrt-plan")
    assert "no job of this registry made" in found.message
    built = make_model(team, "built", "tensorrt-plan", sealed=False)
    Version.objects.filter(pk=built.pk).update(job_id=uuid4())
    catalog.seal_version(principal=owner_of(team), version=built)
    assert faults_of(team, built, "tensorrt-plan") == []
