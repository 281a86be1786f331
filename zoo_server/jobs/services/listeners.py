"""Telling other apps that a job has ended, without knowing them: they register a function when they are ready.

Called after the commit that ended the job, in the process that ended it.  What a listener does is its own business: a
fault there is logged and changes nothing about the job, and a call may be lost when the process dies at that moment, so
a listener needs a chore of its own that makes up for it.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import transaction

from zoo_server.jobs.models import Job

LOG = logging.getLogger(__name__)
Listener = Callable[[UUID], None]
_LISTENERS: list[Listener] = []


def on_job_end(listener: Listener) -> None:
    """Have ``listener`` called with the id of every job that reaches a final state.  Registering twice counts once."""
    if listener not in _LISTENERS:
        _LISTENERS.append(listener)


def tell_after_commit(job: Job) -> None:
    """Call the listeners once the surrounding transaction has committed."""
    job_id = job.pk
    transaction.on_commit(lambda: _tell(job_id), robust=True)


def _tell(job_id: UUID) -> None:
    for listener in _LISTENERS:
        try:
            listener(job_id)
        except Exception:  # the job has ended, whatever becomes of those who wanted to know
            LOG.exception("A listener failed at the end of job %s.", job_id)
