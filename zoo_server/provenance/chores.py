"""Periodic work of this app, run by Celery beat."""

import logging

from celery import shared_task

from zoo_sdk.errors import ZooError
from zoo_server.provenance.services import attesting, checkpoints

LOG = logging.getLogger(__name__)


@shared_task(name="zoo.provenance.attest_pending")
def attest_pending() -> None:
    """Attest versions that were not attested when they were sealed."""
    attesting.attest_pending()


@shared_task(name="zoo.provenance.queue_missing")
def queue_missing() -> None:
    """Find versions that lack an attestation for whatever reason."""
    attesting.queue_missing()


@shared_task(name="zoo.provenance.checkpoint_audit")
def checkpoint_audit() -> None:
    """Sign what the audit log is now, and keep that outside the database."""
    try:
        checkpoints.write_checkpoint()
    except ZooError as error:
        LOG.warning("No checkpoint of the audit log: %s", error)
