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
    # `expires`: while no worker takes chores, they must not pile up in the broker.
    beat_schedule={
        "end the attempts of lost workers": {
            "task": "zoo.jobs.expire_leases",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "ring for jobs that nobody was told about": {
            "task": "zoo.jobs.ring_bells",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "move pipelines on": {
            "task": "zoo.pipelines.advance",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "fetch remote files": {
            "task": "zoo.catalog.mirror_files",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "attest versions that still wait": {
            "task": "zoo.provenance.attest_pending",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "sign a checkpoint of the audit log": {
            "task": "zoo.provenance.checkpoint_audit",
            "schedule": 600.0,
            "options": {"expires": 600},
        },
        "tell webhooks what happened": {
            "task": "zoo.webhooks.tell",
            "schedule": 5.0,
            "options": {"expires": 5},
        },
        "forget old deliveries of webhooks": {
            "task": "zoo.webhooks.forget",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "find versions without attestations": {
            "task": "zoo.provenance.queue_missing",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "end abandoned uploads": {
            "task": "zoo.artifacts.expire_uploads",
            "schedule": 600.0,
            "options": {"expires": 600},
        },
        "remove files that nothing refers to": {
            "task": "zoo.artifacts.collect_garbage",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "apply retention policies": {
            "task": "zoo.catalog.apply_retention",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "forget possessions that nothing needs": {
            "task": "zoo.catalog.release_holdings",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "let go of what was deleted long ago": {
            "task": "zoo.catalog.bury",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "read stored files again": {
            "task": "zoo.artifacts.scrub",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "forget sessions whose time is over": {
            "task": "zoo.accounts.forget_ended_sessions",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "forget old wrong passwords": {
            "task": "zoo.accounts.forget_old_counts",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
        "forget idempotency keys": {
            "task": "zoo.jobs.forget_idempotency_keys",
            "schedule": 3600.0,
            "options": {"expires": 3600},
        },
    },
)
app.autodiscover_tasks(related_name="chores")
app.set_default()  # for every thread, not only the one that imports this
