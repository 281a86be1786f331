"""The part of the worker API that is about pipelines; bodies are those of :mod:`zoo_sdk.messages`."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from zoo_sdk.messages import ParentRunReply, ParentRunReport
from zoo_server.jobs.api.routes import WorkerView, answer, parsed
from zoo_server.pipelines.services.parent_runs import report_parent_run
from zoo_server.rest.principals import principal_of


class ParentRunView(WorkerView):
    """A pipeline's MLflow run."""

    operations = {"POST": "worker_pipeline_mlflow_run"}

    @extend_schema(request=ParentRunReport, responses=ParentRunReply)
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """Report the run that a worker made for a pipeline, or only ask; the first one wins."""
        report = parsed(ParentRunReport, request)
        return answer(report_parent_run(principal=principal_of(request), pipeline_id=pipeline_id, report=report))
