"""What beat has done every few seconds; the work is in the services."""

from celery import shared_task

from zoo_server.jobs.services import dispatch, idempotency, leases


@shared_task(name="zoo.jobs.expire_leases")
def expire_leases() -> None:
    """End the attempts of lost workers."""
    leases.expire_leases()


@shared_task(name="zoo.jobs.ring_bells")
def ring_bells() -> None:
    """Send the messages that are due."""
    dispatch.ring_bells()


@shared_task(name="zoo.jobs.forget_idempotency_keys")
def forget_idempotency_keys() -> None:
    """Delete the keys whose time is over."""
    idempotency.forget_idempotency_keys()
