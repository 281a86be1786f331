"""Wiring.  Importing it makes the Celery application known, so that every process sends to the configured broker."""

from zoo_server.config.celery import app as celery_app

__all__ = ["celery_app"]
