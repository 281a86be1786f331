"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_server.webhooks.services import telling


@shared_task(name="zoo.webhooks.tell")
def tell() -> None:
    """Find what webhooks are to be told, and send what is due."""
    telling.collect()
    telling.deliver_due()


@shared_task(name="zoo.webhooks.forget")
def forget() -> None:
    """Remove old deliveries from the log."""
    telling.forget()
