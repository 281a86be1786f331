"""Django's name for this app."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """The app `webhooks`."""

    name = "zoo_server.webhooks"
    label = "webhooks"
