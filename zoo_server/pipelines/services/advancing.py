"""Moving a pipeline on: what ended is settled, what became ready starts, what can never start is skipped.

:func:`advance_pipeline` may be called at any time, by anybody, several at once: the pipeline's row is locked while it
decides, a step's job is submitted in the transaction that moves the step, and a second call finds nothing left to do.
It is called when a job of the pipeline has ended, and by a chore for those that nobody was told of.
"""

import logging
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from psycopg.errors import DeadlockDetected

from zoo_sdk.vocabulary import FINAL_JOB_STATES, FINAL_STEP_STATES, PipelineState, StepState
from zoo_server.jobs.services.locks import sole_runner
from zoo_server.pipelines.models import Pipeline, PipelineStep
from zoo_server.pipelines.services.board import Board, locked_board
from zoo_server.pipelines.services.endings import end
from zoo_server.pipelines.services.moves import Moves

LOG = logging.getLogger(__name__)
CHORE_LIMIT = 200
DEADLOCK_TRIES = 3


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


def advance_pipeline(*, pipeline_id: UUID) -> None:
    """Do everything that can be done now; idempotent, and safe when several call it at once.

    Results from the cache make versions of several models in one transaction; two pipelines that do so in another order
    may meet in a deadlock, which PostgreSQL ends for one of them: that one begins again.
    """
    for left in reversed(range(DEADLOCK_TRIES)):
        try:
            with transaction.atomic():
                _advance(locked_board(pipeline_id))
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected) or not left:
                raise
        else:
            return


def advance_or_leave(*, pipeline_id: UUID) -> None:
    """The same after a commit that has to be answered anyway: what goes wrong is logged and left to the chore."""
    try:
        advance_pipeline(pipeline_id=pipeline_id)
    except Exception:  # the pipeline is kept, and so is what is to be done for it
        LOG.exception("Pipeline %s could not be moved on; the chore tries again.", pipeline_id)


def _advance(board: Board) -> None:
    if board.pipeline.state != PipelineState.RUNNING:
        return
    moves = Moves(board)
    while moves.settle() or moves.start():
        pass
    Pipeline.objects.filter(pk=board.pipeline.pk).update(advance_due=moves.has_more)
    if all(step.state in FINAL_STEP_STATES for step in board.steps.values()):
        end(board)
