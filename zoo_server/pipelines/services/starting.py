"""Starting a pipeline: everything is checked and pinned now, so that only the work itself can go wrong later."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from zoo_sdk.vocabulary import StepState
from zoo_server.jobs.services.idempotency import IdempotencyMismatch, check_key
from zoo_server.jobs.services.stored import digest_of
from zoo_server.jobs.services.submission import user_id_of
from zoo_server.pipelines.models import Pipeline, PipelineEdge, PipelineInput, PipelineStep
from zoo_server.pipelines.recipes.graph import Graph
from zoo_server.pipelines.requests import PipelineRequest
from zoo_server.pipelines.services.advancing import advance_or_leave
from zoo_server.pipelines.services.planning import digest_of_recipe
from zoo_server.pipelines.services.preparing import PreparedRecipe, prepare
from zoo_server.pipelines.services.transitions import record_pipeline_event
from zoo_server.rest.principals import Principal


def start_pipeline(
    *, principal: Principal, request: PipelineRequest, idempotency_key: str | None = None
) -> tuple[Pipeline, bool]:
    """Check everything, keep it, and start what waits for nothing.  Returns the pipeline and whether it is new.

    With ``idempotency_key``, the same request of the same user answers with the pipeline that the first one made.

    Raises:
        InvalidRecipe: something is wrong with the recipe or with what the request fills in.
        NotFound, PermissionDenied: the caller may not run it.
        IdempotencyMismatch: the key was used for another request.

    """
    user_id = user_id_of(principal)
    check_key(idempotency_key)
    digest = digest_of(request)
    known = _pipeline_of_key(user_id, idempotency_key, digest)
    if known is not None:
        return known, False
    prepared = prepare(principal=principal, request=request, complete=True)
    try:
        with transaction.atomic():
            pipeline = _write(principal, request, prepared, idempotency_key, digest)
    except IntegrityError:
        # Somebody with the same key was first; PostgreSQL let us wait for their commit.
        known = _pipeline_of_key(user_id, idempotency_key, digest)
        if known is None:
            raise
        return known, False
    advance_or_leave(pipeline_id=pipeline.pk)
    pipeline.refresh_from_db()
    return pipeline, True


def _pipeline_of_key(user_id: UUID, key: str | None, digest: str) -> Pipeline | None:
    rows = Pipeline.objects.select_related("team", "created_by")
    found = rows.filter(created_by_id=user_id, idempotency_key=key).first() if key else None
    if found is not None and found.request_digest != digest:
        raise IdempotencyMismatch(
            f"The Idempotency-Key {key!r} was used for another pipeline.",
            hint="Use a new key for a new pipeline.",
            facts={"pipeline": str(found.pk)},
        )
    return found


def _write(
    principal: Principal, request: PipelineRequest, prepared: PreparedRecipe, key: str | None, digest: str
) -> Pipeline:
    graph = prepared.graph
    pipeline = Pipeline(
        team=prepared.team,
        name=prepared.checked.recipe.name,
        recipe=request.recipe,
        recipe_file=request.file,
        recipe_digest=digest_of_recipe(request.recipe),
        set_name=request.set or "",
        values=request.values,
        axes=request.axes,
        outputs={name: output.model_dump(mode="json") for name, output in graph.outputs.items()},
        cache=request.cache,
        priority=request.priority,
        scopes=sorted(scope.value for scope in principal.scopes),
        idempotency_key=key or "",
        request_digest=digest,
        created_by_id=user_id_of(principal),
        started_at=Now(),
    )
    pipeline.save(force_insert=True)
    PipelineInput.objects.bulk_create(
        PipelineInput(pipeline=pipeline, name=name, version=item.version, path=item.path)
        for name, item in prepared.inputs.items()
    )
    _write_graph(pipeline, graph)
    details = {
        "recipe": pipeline.recipe_digest,
        "set": pipeline.set_name,
        "inputs": {name: item.reference() for name, item in prepared.inputs.items()},
        "steps": len(graph.steps),
    }
    record_pipeline_event(principal, "pipeline.started", pipeline, details)
    return pipeline


def _write_graph(pipeline: Pipeline, graph: Graph) -> None:
    steps = {
        step.key: PipelineStep(
            pipeline=pipeline,
            key=step.key,
            name=step.name,
            position=position,
            operation=step.operation,
            spec=step.model_dump(mode="json"),
            state=StepState.SKIPPED if step.left_out else StepState.WAITING,
            reason=step.left_out,
        )
        for position, step in enumerate(graph.steps)
    }
    PipelineStep.objects.bulk_create(steps.values(), batch_size=500)
    PipelineEdge.objects.bulk_create(
        (PipelineEdge(source=steps[edge.source], target=steps[edge.target], kind=edge.kind) for edge in graph.edges),
        batch_size=2000,
    )
