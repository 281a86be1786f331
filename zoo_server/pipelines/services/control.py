"""Cancelling a pipeline, and trying again what did not succeed."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from zoo_sdk.errors import Conflict
from zoo_sdk.vocabulary import FINAL_JOB_STATES, JobState, PipelineState, Scope, StepState
from zoo_server.accounts.permissions import require_in_team
from zoo_server.jobs.models import Job
from zoo_server.jobs.selectors import newest_operations
from zoo_server.jobs.services.outcomes import WrongJobState, cancel_job, retry_job
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.selectors import visible_pipeline
from zoo_server.pipelines.services.advancing import advance_or_leave
from zoo_server.pipelines.services.board import Board, locked_board
from zoo_server.pipelines.services.endings import is_stopped
from zoo_server.pipelines.services.transitions import move_pipeline, move_step, record_pipeline_event
from zoo_server.rest.principals import Principal


class WrongPipelineState(Conflict):
    """The pipeline is not in a state in which this can be done to it."""

    code = "wrong-pipeline-state"


def cancel_pipeline(*, principal: Principal, pipeline_id: UUID) -> Pipeline:
    """Cancel: what waits never starts, queued jobs end at once, running ones at their worker's next heartbeat.

    The pipeline ends when the last of its jobs has.  Asking twice is fine.

    Raises:
        WrongPipelineState: it has ended.

    """
    _authorise(principal, pipeline_id)
    with transaction.atomic():
        board = locked_board(pipeline_id)
        pipeline = board.pipeline
        if pipeline.state != PipelineState.RUNNING:
            raise _wrong_state(pipeline, "has ended", "Nothing is left to cancel.")
        if pipeline.cancel_requested_at is None:
            Pipeline.objects.filter(pk=pipeline.pk).update(cancel_requested_at=Now())
            pipeline.refresh_from_db(fields=["cancel_requested_at"])
            record_pipeline_event(principal, "pipeline.cancel_requested", pipeline, {})
        for step in board.in_state(StepState.WAITING):
            move_step(step, StepState.CANCELLED, reason="the pipeline was cancelled before its turn came")
        for step in board.in_state(StepState.RUNNING):
            _cancel_job(principal, step)
    advance_or_leave(pipeline_id=pipeline_id)
    pipeline.refresh_from_db()
    return pipeline


def _cancel_job(principal: Principal, step: PipelineStep) -> None:
    if step.job is None or step.job.state in FINAL_JOB_STATES:
        return
    try:
        with transaction.atomic():
            step.job = cancel_job(principal=principal, job_id=step.job.pk)
    except WrongJobState:  # it ended a moment ago; what it made is kept
        step.job = Job.objects.select_related("operation").get(pk=step.job.pk)


def retry_pipeline(*, principal: Principal, pipeline_id: UUID) -> Pipeline:
    """Run again what did not succeed, with the same inputs, and what was skipped for it; keep what succeeded.

    A failed job is tried again (it may go on from its checkpoint), unless its operation has a newer version: then the
    step gets a new job.  Gates that stopped or could not be looked at are looked at again.

    Raises:
        WrongPipelineState: it is running, or has succeeded.

    """
    _authorise(principal, pipeline_id)
    with transaction.atomic():
        board = locked_board(pipeline_id)
        pipeline = board.pipeline
        if pipeline.state in {PipelineState.RUNNING, PipelineState.SUCCEEDED}:
            raise _wrong_state(pipeline, f"is {pipeline.state}", "Only a pipeline that did not succeed can be retried.")
        again = [step for step in board.steps.values() if _is_retried(board, step)]
        newest = set(newest_operations().values_list("pk", flat=True))
        for step in again:
            _retry_step(principal, step, newest)
        move_pipeline(pipeline, PipelineState.RUNNING, cancel_requested_at=None, finished_at=None, started_at=Now())
        record_pipeline_event(principal, "pipeline.retried", pipeline, {"steps": [step.key for step in again][:200]})
    advance_or_leave(pipeline_id=pipeline_id)
    pipeline.refresh_from_db()
    return pipeline


def _is_retried(board: Board, step: PipelineStep) -> bool:
    if step.state == StepState.GATED:
        return is_stopped(step)
    if step.state == StepState.SKIPPED:
        return not board.specs[step.key].left_out
    return step.state in {StepState.FAILED, StepState.CANCELLED}


def _retry_step(principal: Principal, step: PipelineStep, newest: set[UUID]) -> None:
    fresh: dict[str, Any] = {"error": None, "gates": [], "result": None}
    job = step.job
    if job is not None and job.state in {JobState.FAILED, JobState.CANCELLED} and job.operation_id in newest:
        step.job = job = retry_job(principal=principal, job_id=job.pk)
    if job is not None and job.state not in {JobState.FAILED, JobState.CANCELLED}:
        move_step(step, StepState.RUNNING, **fresh)
    else:
        move_step(step, StepState.WAITING, job=None, started_at=None, **fresh)


def _wrong_state(pipeline: Pipeline, what: str, hint: str) -> WrongPipelineState:
    return WrongPipelineState(
        f"Pipeline {pipeline.pk} {what}: it is {pipeline.state}.", hint=hint, facts={"state": pipeline.state}
    )


def _authorise(principal: Principal, pipeline_id: UUID) -> None:
    pipeline = visible_pipeline(principal=principal, pipeline_id=pipeline_id)
    require_in_team(principal=principal, team=pipeline.team, scope=Scope.SUBMIT)
