"""Cancelling a pipeline, and trying again what did not succeed."""

import pytest

from tests.zoo_server.factories import make_member, make_user, principal_for
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.scenes import failure, model_report, safetensors
from tests.zoo_server.jobs.threads import at_once
from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import BRANCHED, CHAIN, GATED
from zoo_sdk.errors import NotFound, PermissionDenied
from zoo_sdk.vocabulary import MetricSource, Scope, TeamRole
from zoo_server.accounts.models import Team
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog.models import Metric
from zoo_server.jobs.models import Job
from zoo_server.jobs.services.outcomes import cancel_job, retry_job
from zoo_server.pipelines.services.advancing import advance_pipeline
from zoo_server.pipelines.services.control import WrongPipelineState, cancel_pipeline, retry_pipeline
from zoo_server.rest.principals import Principal

pytestmark = pytest.mark.django_db(transaction=True)


def test_cancelling_ends_queued_jobs_at_once_and_starts_nothing_more(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.state == "cancelled"
    assert set(scene.states().values()) == {"cancelled"}
    assert {job.state for job in Job.objects.all()} == {"cancelled"}
    assert scene.step("student").reason == "the pipeline was cancelled before its turn came"
    assert AuditEvent.objects.get(action="pipeline.cancel_requested").actor == "curie"


def test_a_cancelled_pipeline_waits_for_what_runs(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    attempt = scene.claim("base")
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.state == "running"
    assert scene.pipeline.cancel_requested_at is not None
    job = scene.job("base")
    assert scene.hands.post(job.pk, attempt, "heartbeat").json()["command"] == "cancel"
    scene.hands.post(job.pk, attempt, "fail", failure("cancelled"))
    assert (scene.state, scene.states()["base"]) == ("cancelled", "cancelled")
    assert AuditEvent.objects.filter(action="pipeline.cancel_requested").count() == 1


def test_a_result_that_comes_after_the_cancellation_is_kept(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    scene.claim("base")
    job = scene.job("base")
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    content = safetensors()
    digest = scene.hands.upload(job.pk, 1, content)
    scene.hands.post(job.pk, 1, "finish", model_report(digest, sizes=len(content)))
    assert scene.states()["base"] == "succeeded"
    assert scene.state == "cancelled"


def test_a_job_that_somebody_cancels_cancels_its_step(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    cancel_job(principal=principal, job_id=scene.job("base").pk)
    assert scene.states() == {"base": "cancelled", "other": "running", "student": "skipped", "check": "skipped"}
    scene.finish("other")
    assert scene.state == "cancelled"


def test_cancelling_while_jobs_end_and_start_waits_for_nobody_for_ever(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    attempt, job = scene.claim("base"), scene.job("base")
    content = safetensors()
    report = model_report(scene.hands.upload(job.pk, attempt, content), sizes=len(content), measurements=[])

    def act(number: int) -> int:
        if number == 0:
            return int(scene.hands.post(job.pk, attempt, "finish", report).status_code)
        if number == 1:
            cancel_pipeline(principal=principal, pipeline_id=scene.id)
        else:
            advance_pipeline(pipeline_id=scene.id)
        return 200

    assert at_once(4, act) == [200] * 4
    assert scene.step("base").state == "succeeded"
    assert scene.state == "cancelled"
    assert set(scene.states().values()) == {"succeeded", "cancelled"}
    assert not Job.objects.filter(state="queued").exists()


def test_a_retry_keeps_what_succeeded_and_tries_the_failed_job_again(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    scene.finish("other")
    scene.fail("base")
    job, other = scene.job("base"), scene.job("other")
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.state == "running"
    assert scene.states() == {"base": "running", "other": "succeeded", "student": "waiting", "check": "waiting"}
    assert (scene.job("base"), scene.job("other")) == (job, other), "the same job goes on from its checkpoint"
    assert scene.job("base").state == "queued"
    assert scene.step("base").error is None
    scene.finish("base")
    scene.finish("student")
    scene.finish("check")
    assert scene.state == "succeeded"
    assert AuditEvent.objects.get(action="pipeline.retried").details["steps"] == ["base", "student", "check"]


def test_a_retry_takes_a_newer_version_of_the_operation(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    scene.fail("base")
    scene.finish("other")
    old = scene.job("base")
    newer = [item.model_copy(update={"version": 2}) if item.name == "toy.train" else item for item in manifests.ALL]
    scene.hands.register(*newer)
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.job("base") != old
    assert scene.job("base").operation.version == 2


def test_a_retry_takes_the_result_of_a_job_that_somebody_retried_meanwhile(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    scene.finish("other")
    scene.fail("base")
    assert scene.state == "failed"
    retry_job(principal=principal, job_id=scene.job("base").pk)
    scene.finish("base")
    assert scene.states()["base"] == "failed", "the pipeline has ended; nobody asked it to go on"
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.states() == {"base": "succeeded", "other": "succeeded", "student": "running", "check": "waiting"}


def test_a_cancelled_pipeline_can_be_retried(start: Start, principal: Principal) -> None:
    scene = start(CHAIN)
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.states() == {"base": "running", "other": "running", "student": "waiting", "check": "waiting"}
    assert scene.pipeline.cancel_requested_at is None


def test_a_retry_looks_at_gates_again_without_running_anything(start: Start, principal: Principal) -> None:
    scene = start(GATED)
    scene.finish("base", loss=1)
    scene.finish("free")
    version = scene.step("base").result
    assert version is not None
    Metric.objects.create(version=version, name="top1", value=99, source=MetricSource.MEASURED, split="test")
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.states() == {"base": "succeeded", "after": "running", "free": "succeeded"}
    assert Job.objects.count() == 3


def test_a_retry_leaves_a_taken_branch_as_it_is(start: Start, principal: Principal) -> None:
    scene = start(BRANCHED)
    scene.finish("quick", top1=10)
    scene.fail("repair")
    assert scene.state == "failed"
    retry_pipeline(principal=principal, pipeline_id=scene.id)
    assert scene.states() == {"quick": "gated", "repair": "running", "only_quick": "skipped", "last": "waiting"}


def test_what_has_ended_or_goes_on_is_not_cancelled_or_retried(start: Start, principal: Principal) -> None:
    scene = start(GATED)
    with pytest.raises(WrongPipelineState):
        retry_pipeline(principal=principal, pipeline_id=scene.id)
    scene.finish("base", top1=99)
    scene.finish("after")
    scene.finish("free")
    for service in (cancel_pipeline, retry_pipeline):
        with pytest.raises(WrongPipelineState) as caught:
            service(principal=principal, pipeline_id=scene.id)
        assert caught.value.facts == {"state": "succeeded"}


def test_only_members_who_may_submit_can_cancel_or_retry(start: Start, team: Team) -> None:
    scene = start(CHAIN)
    reader = principal_for(make_member(team, TeamRole.READER))
    stranger = principal_for(make_user())
    narrow = principal_for(make_member(team), [Scope.READ])
    for service in (cancel_pipeline, retry_pipeline):
        for caller, error in ((reader, PermissionDenied), (narrow, PermissionDenied), (stranger, NotFound)):
            with pytest.raises(error):
                service(principal=caller, pipeline_id=scene.id)
    assert scene.state == "running"
