"""Django's name for this app; when it is ready, it counts the bytes of teams' versions."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The app `catalog`."""

    name = "zoo_server.catalog"
    label = "catalog"

    def ready(self) -> None:
        """Count what the logical quota limits."""
        from zoo_server.artifacts.quotas import count_logical_with
        from zoo_server.catalog.selectors.usage import logical_size

        count_logical_with(logical_size)
