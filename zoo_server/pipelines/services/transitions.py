"""The arrows between states, each a compare-and-set; :mod:`zoo_server.pipelines.models` has the allowed ones."""

from typing import Any

from django.db.models.functions import Now

from zoo_sdk.errors import Conflict
from zoo_sdk.vocabulary import FINAL_STEP_STATES, PipelineState, StepState
from zoo_server.audit.services import record_event
from zoo_server.jobs.services.clock import database_now
from zoo_server.jobs.services.stored import storable
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.rest.principals import Principal

REASON_LENGTH = 500


def move_step(step: PipelineStep, state: StepState, **changes: Any) -> None:
    """Set the step's state if it is still in the state that ``step`` says, and keep ``step`` up to date."""
    changes = {
        name: storable(value) if name in {"error", "gates", "reason"} else value for name, value in changes.items()
    }
    changes["reason"] = changes.get("reason", "")[:REASON_LENGTH]
    changes["finished_at"] = database_now() if state in FINAL_STEP_STATES else None
    if state == StepState.RUNNING:
        changes.setdefault("started_at", database_now())
    if not PipelineStep.objects.filter(pk=step.pk, state=step.state).update(state=state, **changes):
        raise Conflict(f"Step {step.key} is no longer {step.state}.", facts={"step": step.key})
    step.state = state
    for name, value in changes.items():
        setattr(step, name, value)


def move_pipeline(pipeline: Pipeline, state: PipelineState, **changes: Any) -> None:
    """The same for a pipeline."""
    if not Pipeline.objects.filter(pk=pipeline.pk, state=pipeline.state).update(state=state, **changes):
        raise Conflict(f"Pipeline {pipeline.pk} is no longer {pipeline.state}.", facts={"pipeline": str(pipeline.pk)})
    pipeline.refresh_from_db(fields=["state", *changes])


def end_pipeline(*, actor: Principal, pipeline: Pipeline, state: PipelineState, details: dict[str, Any]) -> None:
    """Move to a final state and record it."""
    move_pipeline(pipeline, state, finished_at=Now(), advance_due=False)
    record_pipeline_event(actor, f"pipeline.{state.value}", pipeline, details)


def record_pipeline_event(actor: Principal, action: str, pipeline: Pipeline, details: dict[str, Any]) -> None:
    """One audit event about a pipeline, inside the transaction of what it tells of."""
    record_event(actor=actor, action=action, subject=pipeline, team=pipeline.team.name, details=storable(details))
