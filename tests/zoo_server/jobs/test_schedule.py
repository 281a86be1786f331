"""Beat knows the chores, and every process sends with the server's own Celery application."""

from threading import Thread

from celery import current_app

from zoo_server.config.celery import app


def test_beat_runs_every_chore_of_jobs_by_a_name_that_exists() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"]: entry for entry in app.conf.beat_schedule.values()}
    assert {"zoo.jobs.expire_leases", "zoo.jobs.ring_bells", "zoo.jobs.forget_idempotency_keys"} <= set(scheduled)
    for name, entry in scheduled.items():
        assert name in app.tasks
        assert entry["options"]["expires"] <= entry["schedule"], "chores must not pile up without a worker"
    assert max(scheduled[f"zoo.jobs.{name}"]["schedule"] for name in ("expire_leases", "ring_bells")) <= 10


def test_the_application_is_the_servers_in_every_thread() -> None:
    found: list[str] = []
    thread = Thread(target=lambda: found.append(current_app.main))
    thread.start()
    thread.join()
    assert found == ["zoo_server"]
