"""Periodic work of this app, run by Celery beat."""

from celery import shared_task

from zoo_server.accounts import sessions, throttling


@shared_task(name="zoo.accounts.forget_ended_sessions")
def forget_ended_sessions() -> int:
    """Delete the sessions of browsers whose time is over."""
    return sessions.forget_ended_sessions()


@shared_task(name="zoo.accounts.forget_old_counts")
def forget_old_counts() -> int:
    """Delete the counts of wrong passwords and tokens whose time is over."""
    return throttling.forget_old_counts()
