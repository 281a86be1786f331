"""Django's name for this app."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The app `catalog`."""

    name = "zoo_server.catalog"
    label = "catalog"
