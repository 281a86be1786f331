"""From recipes, plans and rows to the bodies of the routes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from zoo_server.jobs.api.bodies import JobErrorBody
from zoo_server.jobs.api.presentation import mlflow_url
from zoo_server.jobs.supply import waiting_for
from zoo_server.pipelines.api import bodies
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.recipes.expansion import models_of
from zoo_server.pipelines.recipes.graph import BoundInput, StepInstance
from zoo_server.pipelines.recipes.schema import Recipe
from zoo_server.pipelines.services.planning import PlannedStep, RecipePlan


def recipe_body(recipe: Recipe) -> bodies.RecipeBody:
    """What there is to know before running it."""
    models = models_of(recipe)
    return bodies.RecipeBody(
        name=recipe.name,
        summary=recipe.summary,
        source=recipe.source,
        inputs={
            name: bodies.RecipeInputBody(kind=item.kind, required=item.required, description=item.description)
            for name, item in recipe.inputs.items()
        },
        values=recipe.values,
        sets={
            name: bodies.RecipeSetBody(summary=item.summary, values=item.values, axes=item.axes)
            for name, item in recipe.sets.items()
        },
        axes=recipe.axes,
        steps=[
            bodies.RecipeStepBody(name=name, operation=step.operation, summary=step.summary, for_each=step.for_each)
            for name, step in recipe.steps.items()
        ],
        outputs={
            name: bodies.RecipeOutputBody(
                sources=[reference.name for reference in output.source.first_of],
                model=models[output.source.first_of[0].name],
                alias=output.alias,
            )
            for name, output in recipe.outputs.items()
        },
    )


def plan_body(plan: RecipePlan) -> bodies.PlanBody:
    """The plan as an answer."""
    given = {name: str(item.version) for name, item in plan.prepared.inputs.items()}
    return bodies.PlanBody(
        name=plan.prepared.checked.recipe.name,
        set=plan.set_name,
        team=plan.prepared.team.name,
        steps=[_planned_step(plan, step, given) for step in plan.steps],
        edges=[
            bodies.EdgeBody(source=edge.source, target=edge.target, kind=edge.kind)
            for edge in plan.prepared.graph.edges
        ],
        estimate=bodies.EstimateBody(
            seconds=plan.total_seconds, critical_path_seconds=plan.critical_path_seconds, unknown=plan.unknown
        ),
        recipe_digest=plan.recipe_digest,
    )


def _planned_step(plan: RecipePlan, step: PlannedStep, given: Mapping[str, str]) -> bodies.PlannedStepBody:
    spec, operation = step.instance, plan.prepared.operations[step.instance.operation]
    return bodies.PlannedStepBody(
        key=spec.key,
        name=spec.name,
        coordinates=spec.coordinates,
        operation=spec.operation,
        operation_version=operation.version,
        available=not step.waiting_for,
        waiting_for=step.waiting_for or None,
        params=spec.params,
        seed=spec.seed,
        gpus=step.gpus,
        inputs=_inputs(spec, given),
        model=f"{plan.prepared.team.name}/{spec.model}" if spec.model else None,
        gates=[str(gate) for gate in spec.gates],
        cached=str(step.cached) if step.cached else None,
        left_out=bool(spec.left_out),
        estimate_seconds=step.estimate.seconds,
        estimate_basis=step.estimate.basis,
    )


def _inputs(spec: StepInstance, given: Mapping[str, str]) -> list[bodies.StepInputBody]:
    return [
        bodies.StepInputBody(port=port, source=_source(item, given), weight=item.weight, artifact=item.artifact)
        for port, bound in spec.inputs.items()
        for item in bound
    ]


def _source(item: BoundInput, given: Mapping[str, str]) -> str:
    return " or ".join(
        given.get(source.input, str(source)) if source.input is not None else str(source) for source in item.first_of
    )


def pipeline_body(
    pipeline: Pipeline, *, counts: Mapping[str, int], steps: Mapping[str, PipelineStep]
) -> bodies.PipelineBody:
    """A pipeline of a list (with its inputs).  ``steps``: at least those that its outputs name, by key."""
    return bodies.PipelineBody(**_fields(pipeline, counts, steps))


def pipeline_detail_body(pipeline: Pipeline, edges: Iterable[tuple[str, str, Any]]) -> bodies.PipelineDetailBody:
    """One pipeline with everything (from ``with_steps``)."""
    steps = list(pipeline.steps.all())
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.state] = counts.get(step.state, 0) + 1
    given = {item.name: str(item.version) for item in pipeline.inputs.all()}
    waiting = waiting_for(step.job for step in steps if step.job is not None)
    return bodies.PipelineDetailBody(
        **_fields(pipeline, counts, {step.key: step for step in steps}),
        recipe=pipeline.recipe,
        recipe_file=pipeline.recipe_file,
        steps=[step_body(step, team=pipeline.team.name, given=given, waiting=waiting) for step in steps],
        edges=[bodies.EdgeBody(source=source, target=target, kind=kind) for source, target, kind in edges],
    )


def _fields(pipeline: Pipeline, counts: Mapping[str, int], steps: Mapping[str, PipelineStep]) -> dict[str, Any]:
    uri = settings.ZOO_MLFLOW_TRACKING_URI
    run = pipeline.mlflow_run_id
    return {
        "id": pipeline.pk,
        "team": pipeline.team.name,
        "name": pipeline.name,
        "set": pipeline.set_name or None,
        "state": pipeline.state,
        "cancel_requested": pipeline.cancel_requested_at is not None,
        "recipe_digest": pipeline.recipe_digest,
        "values": pipeline.values,
        "axes": pipeline.axes,
        "inputs": {item.name: _with_path(str(item.version), item.path) for item in pipeline.inputs.all()},
        "outputs": {name: _output(pipeline, output, steps) for name, output in pipeline.outputs.items()},
        "counts": dict(counts),
        "cache": pipeline.cache,
        "priority": pipeline.priority,
        "mlflow_run_id": run or None,
        "mlflow_url": f"{uri.rstrip('/')}/#/runs/{run}" if uri and run else None,
        "created_by": pipeline.created_by.username,
        "created_at": pipeline.created_at,
        "started_at": pipeline.started_at,
        "finished_at": pipeline.finished_at,
    }


def _with_path(reference: str, path: str) -> str:
    return f"{reference}#{path}" if path else reference


def _output(pipeline: Pipeline, output: Mapping[str, Any], steps: Mapping[str, PipelineStep]) -> bodies.OutputBody:
    return bodies.OutputBody(
        model=f"{pipeline.team.name}/{output['model']}",
        alias=output["alias"],
        alias_error=output.get("alias_error"),
        versions=_versions(output["first_of"], steps),
    )


def _versions(alternatives: Sequence[Sequence[str]], steps: Mapping[str, PipelineStep]) -> list[str]:
    """The results of the first alternative of which any instance succeeded."""
    for keys in alternatives:
        made = [steps[key] for key in keys if key in steps and steps[key].state == "succeeded"]
        if made:
            return [str(step.result) for step in made]
    return []


def step_body(
    step: PipelineStep, *, team: str, given: Mapping[str, str], waiting: Mapping[UUID, str]
) -> bodies.StepBody:
    """One step with its job and result.  ``waiting``: by job, what it waits for."""
    spec = StepInstance.model_validate(step.spec)
    return bodies.StepBody(
        key=step.key,
        name=step.name,
        coordinates=spec.coordinates,
        operation=step.operation,
        state=step.state,
        reason=step.reason,
        error=JobErrorBody.model_validate(step.error) if step.error else None,
        params=spec.params,
        seed=spec.seed,
        inputs=_inputs(spec, given),
        model=f"{team}/{spec.model}" if spec.model else None,
        job=_job(step, waiting),
        result=str(step.result) if step.result else None,
        gates=[bodies.GateBody.model_validate({k: v for k, v in gate.items() if k != "run"}) for gate in step.gates],
        started_at=step.started_at,
        finished_at=step.finished_at,
    )


def _job(step: PipelineStep, waiting: Mapping[UUID, str]) -> bodies.StepJobBody | None:
    job = step.job
    if job is None:
        return None
    return bodies.StepJobBody(
        id=job.pk,
        state=job.state,
        gpus=job.gpus,
        waiting_for=waiting.get(job.pk),
        attempt=job.attempt,
        progress=job.progress,
        cause=job.cause or None,
        cached=job.cached_from_id is not None,
        mlflow_url=mlflow_url(job),
    )
