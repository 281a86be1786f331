"""Moving a pipeline on: what ended is settled, what became ready starts, what can never start is skipped.

:func:`advance_pipeline` may be called at any time, by anybody, several at once: the pipeline's row is locked while it
decides, a step's job is submitted in the transaction that moves the step, and a second call finds nothing left to do.
It is called when a job of the pipeline has ended, and by a chore for those that nobody was told of.
"""

import logging
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from zoo_sdk.vocabulary import FINAL_JOB_STATES, FINAL_STEP_STATES, PipelineState, StepState
from zoo_server.jobs.services.locks import sole_runner
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.services.board import Board, locked_board
from zoo_server.pipelines.services.endings import end
from zoo_server.pipelines.services.moves import Moves

LOG = logging.getLogger(__name__)
CHORE_LIMIT = 200


def advance_after_job(job_id: UUID) -> None:
    """Move the pipeline of a job that has ended on, if it has one that is running."""
    row = PipelineStep.objects.filter(job_id=job_id, pipeline__state=PipelineState.RUNNING).first()
    if row is not None:
        advance_pipeline(pipeline_id=row.pipeline_id)


def advance_pipelines() -> int:
    """Move every pipeline on that has something to do and was forgotten.  Returns how many."""
    with sole_runner("advance_pipelines") as alone:
        if not alone:
            return 0
        due = list(_due_pipelines().values_list("pk", flat=True)[:CHORE_LIMIT])
    advanced = 0
    for pipeline_id in due:
        try:
            advance_pipeline(pipeline_id=pipeline_id)
            advanced += 1
        except Exception:  # one odd pipeline must not keep all others waiting
            LOG.exception("Pipeline %s could not be moved on.", pipeline_id)
    return advanced


def _due_pipelines() -> QuerySet[Pipeline]:
    """Running pipelines with a job that ended, with steps left to start, or with nothing that runs."""
    steps = PipelineStep.objects.filter(pipeline=OuterRef("pk"), state=StepState.RUNNING)
    ended = Exists(steps.filter(job__state__in=FINAL_JOB_STATES))
    return Pipeline.objects.filter(Q(advance_due=True) | ended | ~Exists(steps), state=PipelineState.RUNNING).order_by(
        "pk"
    )


def advance_pipeline(*, pipeline_id: UUID) -> Pipeline:
    """Do everything that can be done now; idempotent, and safe when several call it at once."""
    with transaction.atomic():
        board = locked_board(pipeline_id)
        advance(board)
    return board.pipeline


def advance(board: Board) -> None:
    """The same for a board that the caller has locked, in the caller's transaction."""
    if board.pipeline.state != PipelineState.RUNNING:
        return
    moves = Moves(board)
    while moves.settle() or moves.start():
        pass
    Pipeline.objects.filter(pk=board.pipeline.pk).update(advance_due=moves.has_more)
    if all(step.state in FINAL_STEP_STATES for step in board.steps.values()):
        end(board)
