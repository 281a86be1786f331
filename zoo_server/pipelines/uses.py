"""Which versions are inputs or results of pipelines that have not ended: later steps may take them."""

from collections.abc import Mapping
from uuid import UUID

from django.db.models import QuerySet

from zoo_sdk.vocabulary import PipelineState
from zoo_server.catalog.models import Version
from zoo_server.pipelines.models import PipelineInput, PipelineStep


def used_by_pipelines(versions: QuerySet[Version]) -> Mapping[UUID, str]:
    """Those of ``versions`` that a running pipeline was given or has made, and the newest such pipeline."""
    ids = versions.order_by().values("pk")
    running = {"pipeline__state": PipelineState.RUNNING}
    given = PipelineInput.objects.filter(version__in=ids, **running).values_list("pipeline_id", "version_id")
    made = PipelineStep.objects.filter(result__in=ids, **running).values_list("pipeline_id", "result_id")
    return {version: f"the running pipeline {pipeline}" for pipeline, version in sorted([*given, *made])}
