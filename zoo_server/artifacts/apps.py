"""Django's name for this app."""

from django.apps import AppConfig


class ArtifactsConfig(AppConfig):
    """The app `artifacts`."""

    name = "zoo_server.artifacts"
    label = "artifacts"
