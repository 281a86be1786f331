"""Reading pipelines: what a caller may see, in a fixed number of queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Prefetch, QuerySet

from zoo_sdk.errors import NotFound
from zoo_server.accounts.permissions import of_own_teams
from zoo_server.pipelines.models import Pipeline, PipelineEdge, PipelineInput, PipelineStep
from zoo_server.rest.principals import Principal


@dataclass(frozen=True)
class PipelineFilters:
    """What ``GET pipelines`` narrows by; None means any."""

    state: str | None = None
    team: str | None = None
    name: str | None = None


def visible_pipelines(*, principal: Principal) -> QuerySet[Pipeline]:
    """The pipelines of the caller's teams; all for superusers."""
    rows = Pipeline.objects.select_related("team", "created_by")
    return rows.filter(of_own_teams(principal))


def visible_pipeline(*, principal: Principal, pipeline_id: UUID) -> Pipeline:
    """The pipeline; raises :class:`NotFound` also when the caller may not see it."""
    pipeline = visible_pipelines(principal=principal).filter(pk=pipeline_id).first()
    if pipeline is None:
        raise NotFound(
            f"There is no pipeline {pipeline_id} that you may see.", hint="GET /api/v1/pipelines lists your teams'."
        )
    return pipeline


def filtered_pipelines(*, principal: Principal, filters: PipelineFilters) -> QuerySet[Pipeline]:
    """The visible pipelines that match, with their inputs; without the recipe's text, which no list shows."""
    rows = visible_pipelines(principal=principal).defer("recipe").prefetch_related(_inputs())
    if filters.state is not None:
        rows = rows.filter(state=filters.state)
    if filters.team is not None:
        rows = rows.filter(team__name=filters.team)
    if filters.name is not None:
        rows = rows.filter(name=filters.name)
    return rows


def with_steps(pipelines: QuerySet[Pipeline]) -> QuerySet[Pipeline]:
    """``pipelines`` with inputs, steps, their jobs and results, in a fixed number of queries."""
    steps = PipelineStep.objects.select_related("job__operation", "result__repository__team").order_by("position")
    return pipelines.select_related("team", "created_by").prefetch_related(_inputs(), Prefetch("steps", steps))


def edges_of(pipeline: Pipeline) -> list[tuple[str, str, str]]:
    """``(source, target, kind)`` of a pipeline's edges, by the steps' keys."""
    rows = PipelineEdge.objects.filter(target__pipeline=pipeline).order_by("id")
    return list(rows.values_list("source__key", "target__key", "kind"))


def state_counts(pipelines: Iterable[Pipeline]) -> dict[UUID, dict[str, int]]:
    """By pipeline, how many of its steps are in which state."""
    rows = PipelineStep.objects.filter(pipeline__in=list(pipelines)).order_by()
    counts: dict[UUID, dict[str, int]] = {}
    for pipeline_id, state, count in rows.values_list("pipeline_id", "state").annotate(count=Count("pk")):
        counts.setdefault(pipeline_id, {})[state] = count
    return counts


def output_steps(pipelines: Iterable[Pipeline]) -> dict[UUID, dict[str, PipelineStep]]:
    """By pipeline, the steps that its outputs name, by key, with their results."""
    wanted = {
        pipeline.pk: {key for output in pipeline.outputs.values() for keys in output["first_of"] for key in keys}
        for pipeline in pipelines
    }
    rows = PipelineStep.objects.filter(pipeline__in=wanted, result__isnull=False)
    rows = rows.filter(key__in=set().union(*wanted.values())).select_related("result__repository__team")
    found: dict[UUID, dict[str, PipelineStep]] = {}
    for step in rows.defer("spec"):
        found.setdefault(step.pipeline_id, {})[step.key] = step
    return found


def _inputs() -> "Prefetch[str]":
    return Prefetch("inputs", PipelineInput.objects.select_related("version__repository__team"))
