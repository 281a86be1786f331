"""Django's name for this app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """The app `jobs`."""

    name = "zoo_server.jobs"
    label = "jobs"
