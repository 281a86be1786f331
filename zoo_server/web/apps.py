"""Django's name for this app."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """The app `web`."""

    name = "zoo_server.web"
    label = "web"
