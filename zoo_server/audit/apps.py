"""Django's name for this app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The app `audit`."""

    name = "zoo_server.audit"
    label = "audit"
