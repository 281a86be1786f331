"""Django's name for this app; when it is ready, it says which versions its jobs use."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """The app `jobs`."""

    name = "zoo_server.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Keep what an unfinished job takes from being deleted."""
        from zoo_server.catalog.selectors.keeping import on_use
        from zoo_server.jobs.uses import used_by_jobs

        on_use(used_by_jobs)
