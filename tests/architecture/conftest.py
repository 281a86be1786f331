"""The registry's fixtures, for the rules about its routes."""

from tests.zoo_server.conftest import django_db_setup, superuser

__all__ = ["django_db_setup", "superuser"]
