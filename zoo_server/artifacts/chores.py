"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_sdk.errors import Conflict
from zoo_server.artifacts import services
from zoo_server.artifacts.collection import collect_garbage
from zoo_server.artifacts.scrubbing import scrub
from zoo_server.rest.principals import SYSTEM

SCRUB_SHARE = 0.05 / 24
SCRUB_SECONDS = 600


@shared_task(name="zoo.artifacts.expire_uploads")
def expire_uploads() -> int:
    """Abort uploads that nobody continued, and remove their bytes."""
    return services.expire_uploads()


@shared_task(name="zoo.artifacts.collect_garbage")
def collect() -> int:
    """Remove the bytes that nothing refers to; answers how many blobs."""
    try:
        return collect_garbage(principal=SYSTEM).blobs
    except Conflict:
        return 0  # somebody collects by hand


@shared_task(name="zoo.artifacts.scrub")
def scrub_share() -> int:
    """Read again an hour's part of a twentieth of all blobs a day; answers how many were sound."""
    return scrub(principal=SYSTEM, share=SCRUB_SHARE, seconds=SCRUB_SECONDS).sound
