"""The end of a pipeline: what all its steps mean together, and the aliases of what it made."""

from zoo_sdk.errors import ZooError
from zoo_sdk.vocabulary import PipelineState, StepState
from zoo_server.catalog.models import Version
from zoo_server.catalog.services import set_alias
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.recipes.graph import GraphOutput
from zoo_server.pipelines.services.board import Board
from zoo_server.pipelines.services.gates import GateResult, verdict_of
from zoo_server.pipelines.services.submitters import submitter_of
from zoo_server.pipelines.services.transitions import end_pipeline
from zoo_server.rest.principals import SYSTEM

ALIAS_ERROR = "alias_error"
"""Where an output keeps why its alias was refused."""


def end(board: Board) -> None:
    """End the pipeline, all steps of which are final."""
    pipeline, states = board.pipeline, [StepState(step.state) for step in board.steps.values()]
    if pipeline.cancel_requested_at is not None and StepState.CANCELLED in states:
        state = PipelineState.CANCELLED
    elif StepState.FAILED in states:
        state = PipelineState.FAILED
    elif any(is_stopped(step) for step in board.in_state(StepState.GATED)):
        state = PipelineState.STOPPED
    elif StepState.CANCELLED in states:
        state = PipelineState.CANCELLED
    else:
        state = PipelineState.SUCCEEDED
        _set_aliases(board)
    counts = {item.value: states.count(item) for item in StepState if item in states}
    end_pipeline(actor=SYSTEM, pipeline=pipeline, state=state, details={"steps": counts})


def is_stopped(step: PipelineStep) -> bool:
    """Whether a gate of the step stopped what comes after it, and no branch runs in its place."""
    results = [GateResult.model_validate(item) for item in step.gates]
    return step.state == StepState.GATED and verdict_of(results) != "branched"


def _set_aliases(board: Board) -> None:
    """Point the aliases of the outputs to what was made.  One that is refused is noted, and fails nothing."""
    outputs = dict(board.pipeline.outputs)
    for name, stored in outputs.items():
        output = GraphOutput.model_validate({key: value for key, value in stored.items() if key != ALIAS_ERROR})
        version = _made(board, output) if output.alias else None
        if version is None or output.alias is None:
            continue
        try:
            set_alias(principal=submitter_of(board.pipeline), version=version, name=output.alias)
        except ZooError as error:
            outputs[name] = stored | {ALIAS_ERROR: str(error)}
    Pipeline.objects.filter(pk=board.pipeline.pk).update(outputs=outputs)
    board.pipeline.outputs = outputs


def _made(board: Board, output: GraphOutput) -> Version | None:
    for keys in output.first_of:
        results = [board.steps[key].result for key in keys if board.steps[key].state == StepState.SUCCEEDED]
        if results:
            return results[0]
    return None
