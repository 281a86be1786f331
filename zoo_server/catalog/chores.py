"""Periodic work of this app, run by Celery beat."""

from time import monotonic

from celery import shared_task
from django.utils import timezone

from zoo_server.catalog import services

NIGHT = 3
"""The hour (UTC) in which retention policies are applied."""
SLICE_SECONDS = 20.0
"""How long one tick may fetch: the chores have other work too."""


@shared_task(name="zoo.catalog.mirror_files")
def mirror_files() -> None:
    """Fetch remote files that somebody asked for."""
    end = monotonic() + SLICE_SECONDS
    while (left := end - monotonic()) > 0 and services.mirror_next(seconds=left):
        pass


@shared_task(name="zoo.catalog.bury")
def bury() -> int:
    """Make tombstones of deleted versions and repositories whose time is over; answers how many."""
    return services.bury_due()


@shared_task(name="zoo.catalog.apply_retention")
def apply_retention() -> int:
    """Delete, once a night, what the teams' retention policies do not keep; answers how many versions."""
    if timezone.now().hour != NIGHT:
        return 0
    return services.apply_retention()


@shared_task(name="zoo.catalog.release_holdings")
def release_holdings() -> int:
    """Forget possessions that nothing needs; answers how many."""
    return services.release_holdings()
