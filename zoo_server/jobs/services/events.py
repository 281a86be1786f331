"""What an attempt says while it runs: numbered, bounded, and harmless when sent twice."""

from typing import Any
from uuid import UUID

from django.db import transaction

from zoo_sdk.errors import InvalidInput
from zoo_sdk.messages import Event, EventBatch, ProgressEvent
from zoo_server.jobs.models import Job, JobEvent
from zoo_server.jobs.services.attempts import check_fence, locked_job
from zoo_server.jobs.services.stored import storable
from zoo_server.rest.principals import Principal

MAX_EVENTS_PER_ATTEMPT = 200_000
MAX_TEXT = 8000


class TooManyEvents(InvalidInput):
    """The attempt has said all that is kept."""

    code = "too-many-events"


def record_events(*, principal: Principal, job_id: UUID, attempt: int, batch: EventBatch) -> None:
    """Keep the attempt's events; those already known are ignored.  The newest progress becomes the job's.

    Event numbers run from 1 without gaps, so a limit on the number limits the rows.

    Raises:
        LeaseLost: the attempt is not the caller's any more.
        TooManyEvents: an event's number is above the limit; nothing of the batch is kept.

    """
    highest = max((event.number for event in batch.events), default=0)
    if highest > MAX_EVENTS_PER_ATTEMPT:
        raise TooManyEvents(
            f"Event {highest} is above the limit of {MAX_EVENTS_PER_ATTEMPT} events per attempt.",
            hint="Stop sending events of this attempt; log less often.",
            facts={"limit": MAX_EVENTS_PER_ATTEMPT, "number": highest},
        )
    with transaction.atomic():
        job = locked_job(job_id)
        check_fence(principal=principal, job=job, attempt=attempt)
        JobEvent.objects.bulk_create(
            [_row(job, attempt, event) for event in batch.events], ignore_conflicts=True, batch_size=1000
        )
        progress = [event for event in batch.events if isinstance(event.body, ProgressEvent)]
        if progress:
            body = _bounded(max(progress, key=lambda event: event.number).body.model_dump(mode="json"))
            newest = {name: body[name] for name in ("done", "total", "message")}
            Job.objects.filter(pk=job.pk).update(progress=newest)


def _row(job: Job, attempt: int, event: Event) -> JobEvent:
    body = _bounded(event.body.model_dump(mode="json"))
    return JobEvent(job=job, attempt=attempt, number=event.number, time=event.time, kind=body.pop("kind"), body=body)


def _bounded(body: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = storable(body)
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in kept.items()}
