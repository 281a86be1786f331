"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_server.artifacts import services


@shared_task(name="zoo.artifacts.expire_uploads")
def expire_uploads() -> int:
    """Abort uploads that nobody continued, and remove their bytes."""
    return services.expire_uploads()
