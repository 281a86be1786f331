"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_server.accounts import sessions


@shared_task(name="zoo.accounts.forget_ended_sessions")
def forget_ended_sessions() -> int:
    """Delete the sessions of browsers whose time is over."""
    return sessions.forget_ended_sessions()
