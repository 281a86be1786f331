"""A pipeline's MLflow run: made by a worker, kept here, so that all workers of the pipeline use the same one."""

import json
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from zoo_sdk.errors import NotFound
from zoo_sdk.messages import ParentRunReply, ParentRunReport
from zoo_sdk.vocabulary import PipelineState
from zoo_server.jobs.models import JobAttempt
from zoo_server.jobs.services.stored import storable
from zoo_server.jobs.services.workers import require_worker
from zoo_server.pipelines.models import Pipeline
from zoo_server.rest.principals import Principal

MlflowStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
STATUSES: dict[str, MlflowStatus] = {
    PipelineState.RUNNING: "RUNNING",
    PipelineState.SUCCEEDED: "FINISHED",
    PipelineState.FAILED: "FAILED",
    PipelineState.STOPPED: "FAILED",
    PipelineState.CANCELLED: "KILLED",
}
"""MLflow has no word for a pipeline that a gate stopped; the tag ``zoo.pipeline_state`` has."""
PARAM_LENGTH = 500


def report_parent_run(*, principal: Principal, pipeline_id: UUID, report: ParentRunReport) -> ParentRunReply:
    """Keep the run that a worker made, unless there is one already; the answer has the one that counts.

    Raises:
        NotFound: there is no such pipeline, or the caller's workers never had a job of it.

    """
    mine = JobAttempt.objects.filter(
        job__pipeline_step__pipeline=OuterRef("pk"), worker__user_id=require_worker(principal)
    )
    rows = Pipeline.objects.filter(Exists(mine), pk=pipeline_id).select_related("team", "created_by").defer("recipe")
    if report.mlflow_run_id is not None:
        run_id = storable(report.mlflow_run_id)
        Pipeline.objects.filter(Exists(mine), pk=pipeline_id, mlflow_run_id="").update(mlflow_run_id=run_id)
    pipeline = rows.first()
    if pipeline is None:
        raise NotFound(f"No worker of yours had a job of a pipeline {pipeline_id}.")
    return ParentRunReply(
        mlflow_run_id=pipeline.mlflow_run_id or None,
        name=f"{pipeline.name} {str(pipeline.pk)[-6:]}",
        status=STATUSES[pipeline.state],
        started_at=pipeline.started_at,
        finished_at=pipeline.finished_at,
        params={name: _text(value) for name, value in {**pipeline.values, **pipeline.axes}.items()},
        tags=_tags(pipeline),
    )


def _tags(pipeline: Pipeline) -> dict[str, str]:
    """Tags of the MLflow run that lead back to the pipeline."""
    return {
        "zoo.pipeline_url": f"{settings.ZOO_PUBLIC_URL}/api/v1/pipelines/{pipeline.pk}",
        "zoo.pipeline_name": pipeline.name,
        "zoo.pipeline_state": pipeline.state,
        "zoo.recipe_digest": pipeline.recipe_digest,
        "zoo.set": pipeline.set_name,
        "zoo.team": pipeline.team.name,
        "zoo.submitted_by": pipeline.created_by.username,
    }


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:PARAM_LENGTH]
