"""Django's name for this app."""

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    """The app `pipelines`."""

    name = "zoo_server.pipelines"
    label = "pipelines"
