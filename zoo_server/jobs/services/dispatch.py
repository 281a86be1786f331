"""Ringing the bell: Celery messages that tell workers of a job's queue, with an outbox so that none is lost.

The :class:`JobDispatch` row is written with the job.  After the commit one message is sent; if the broker is away, the
sweep (:func:`ring_bells`) sends it later, and again as long as nobody claimed the job.  Messages carry only the job's
id and duplicates are harmless, because claiming is a compare-and-set.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from zoo_server.jobs.models import Job, JobDispatch
from zoo_server.jobs.services.clock import database_now, in_seconds
from zoo_server.jobs.services.locks import sole_runner

LOG = logging.getLogger(__name__)
RUN_JOB = "zoo_worker.run_job"
BROKER_SECONDS = 0.5
"""How long one step (connect, read) of talking to the broker may take when a caller waits for it."""
UNANSWERED_SECONDS = 30.0
"""A bell that nobody answered for so long may be lost."""
LONGEST_SECONDS = 600.0
HIGHEST_PRIORITY = 9
SWEEP_LIMIT = 500
BROKER_FAULTS = (OperationalError, ChannelError, RedisError, OSError)


@dataclass(frozen=True)
class Bell:
    """What one message says, and where it goes.  ``priority``: 9 first, as in :class:`Job`."""

    job_id: UUID
    queue: str
    priority: int


def bell_of(job: Job) -> Bell:
    """The bell of a job."""
    return Bell(job.pk, job.queue, job.priority)


def ring_after_commit(job: Job) -> None:
    """Send the job's message once the surrounding transaction has committed; an absent broker costs about a second."""
    bell = bell_of(job)
    transaction.on_commit(lambda: ring_now([bell]), robust=True)


def ring_now(bells: Sequence[Bell]) -> int:
    """Send these bells and note it in the outbox; what cannot be sent is left to the sweep.  Returns how many were."""
    sent = _send(bells)
    _note_sent(sent)
    return len(sent)


def ring_bells() -> int:
    """Send the messages that are due: never sent, lost, or unanswered for long.  Returns how many were sent.

    Due are dispatches past their ``due_at`` (which each sending moves: 30 s, 1 min ... 10 min, so that a queue without
    workers does not fill the broker), and those unanswered for 30 s whose queue in the broker is empty: their message
    is gone.
    """
    with sole_runner("ring_bells") as alone:
        if not alone:
            return 0
        waiting = (
            JobDispatch.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("job")
            .filter(job__available_at__lte=Now())
            .filter(Q(due_at__lte=Now()) | Q(sent_at__lte=in_seconds(-UNANSWERED_SECONDS)))
            .order_by("-job__priority", "due_at")
        )
        now = database_now()
        found = [(bell_of(dispatch.job), dispatch.due_at <= now) for dispatch in waiting[:SWEEP_LIMIT]]
        # Marked before they are sent and outside the sending, so that no claim waits for the broker behind this lock.
        _note_sent([bell for bell, _ in found])
    empty = _empty_queues({bell.queue for bell, due in found if not due})
    bells = [bell for bell, due in found if due or bell.queue in empty]
    sent = _send(bells)
    unsent = {bell.job_id for bell in bells} - {bell.job_id for bell in sent}
    JobDispatch.objects.filter(job_id__in=unsent).update(due_at=Now(), sent_at=None)
    return len(sent)


def _note_sent(bells: Iterable[Bell]) -> None:
    by_times: dict[int, list[UUID]] = defaultdict(list)
    ids = [bell.job_id for bell in bells]
    for job_id, times in JobDispatch.objects.filter(job_id__in=ids).values_list("job_id", "times_sent"):
        by_times[min(times, 10)].append(job_id)
    for times, job_ids in by_times.items():
        delay = min(LONGEST_SECONDS, UNANSWERED_SECONDS * 2**times)
        JobDispatch.objects.filter(job_id__in=job_ids).update(
            sent_at=Now(), times_sent=F("times_sent") + 1, due_at=in_seconds(delay)
        )


def _send(bells: Sequence[Bell]) -> list[Bell]:
    """Those that the broker took; the first fault ends it, for the next ones would meet it too."""
    sent: list[Bell] = []
    if not bells:
        return sent
    try:
        with _short_connection() as connection:
            for bell in bells:
                current_app.send_task(
                    RUN_JOB,
                    args=[str(bell.job_id)],
                    queue=bell.queue,
                    priority=HIGHEST_PRIORITY - bell.priority,  # Redis: 0 is the highest
                    connection=connection,
                    retry=False,
                    ignore_result=True,
                )
                sent.append(bell)
    except BROKER_FAULTS as error:
        LOG.warning("The broker took %d of %d messages: %s. The sweep sends the rest.", len(sent), len(bells), error)
    return sent


def _empty_queues(queues: set[str]) -> set[str]:
    """Those of the queues in which no message waits (none when the broker does not answer)."""
    empty: set[str] = set()
    if not queues:
        return empty
    try:
        with _short_connection() as connection:
            for queue in queues:
                try:
                    waiting = connection.default_channel.queue_declare(queue, passive=True).message_count
                except ChannelError:
                    waiting = 0
                if not waiting:
                    empty.add(queue)
    except BROKER_FAULTS as error:
        LOG.warning("The broker does not say which queues are empty: %s.", error)
    return empty


def _short_connection() -> Connection:
    """A connection of its own to the broker that gives up soon: Celery's pooled one would retry for minutes."""
    options = {
        **current_app.conf.broker_transport_options,
        "socket_connect_timeout": BROKER_SECONDS,
        "socket_timeout": BROKER_SECONDS,
        "max_retries": 0,
        "connect_retries_timeout": BROKER_SECONDS,
        "retry_on_timeout": False,
    }
    connection: Connection = current_app.connection_for_write(connect_timeout=BROKER_SECONDS, transport_options=options)
    return connection
