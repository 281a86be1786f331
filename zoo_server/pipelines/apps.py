"""Django's name for this app; when it is ready, it listens to the ends of jobs, and says what it uses."""

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    """The app `pipelines`."""

    name = "zoo_server.pipelines"
    label = "pipelines"

    def ready(self) -> None:
        """Move a pipeline on whenever a job of it ends; keep what it needs from being deleted."""
        from zoo_server.catalog.selectors.keeping import on_use
        from zoo_server.jobs.services.listeners import on_job_end
        from zoo_server.pipelines.services.advancing import advance_after_job
        from zoo_server.pipelines.uses import used_by_pipelines

        on_job_end(advance_after_job)
        on_use(used_by_pipelines)
