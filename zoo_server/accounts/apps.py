"""Django's name for this app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The app `accounts`."""

    name = "zoo_server.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Register the descriptions of our ways to sign in, and hear of people who do."""
        from zoo_server.accounts import authentication, schema, sessions  # noqa: F401
