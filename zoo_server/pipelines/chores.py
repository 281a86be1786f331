"""What beat has done every few seconds; the work is in the services."""

from celery import shared_task

from zoo_server.pipelines.services import advancing


@shared_task(name="zoo.pipelines.advance")
def advance_pipelines() -> None:
    """Move the pipelines on that nobody moved when a job ended."""
    advancing.advance_pipelines()
