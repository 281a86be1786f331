"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_server.provenance.services import attesting


@shared_task(name="zoo.provenance.attest_pending")
def attest_pending() -> None:
    """Attest versions that were not attested when they were sealed."""
    attesting.attest_pending()


@shared_task(name="zoo.provenance.queue_missing")
def queue_missing() -> None:
    """Find versions that lack an attestation for whatever reason."""
    attesting.queue_missing()
