"""Which versions are inputs of jobs that have not ended."""

from collections.abc import Mapping
from uuid import UUID

from django.db.models import QuerySet

from zoo_sdk.vocabulary import JobState
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import JobInput


def used_by_jobs(versions: QuerySet[Version]) -> Mapping[UUID, str]:
    """Those of ``versions`` that a queued or running job takes, and the newest such job."""
    rows = JobInput.objects.filter(
        version__in=versions.order_by().values("pk"), job__state__in=[JobState.QUEUED, JobState.RUNNING]
    )
    found = rows.order_by("job_id").values_list("version_id", "job__state", "job_id")
    return {version: f"the {state} job {job}" for version, state, job in found}
