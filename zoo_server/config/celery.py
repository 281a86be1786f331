"""The server's Celery application: it sends jobs to workers by name, and runs the chores by beat."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "zoo_server.config.settings")

app = Celery("zoo_server")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_default_queue="zoo.chores",
    broker_connection_retry_on_startup=True,
    broker_transport_options={"priority_steps": list(range(10)), "sep": ":", "queue_order_strategy": "priority"},
    worker_hijack_root_logger=False,
    timezone="UTC",
)
app.autodiscover_tasks()
