"""The worker as Celery runs it: real messages through a real Valkey to a real process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.zoo_worker.celery_parts import Broker, WorkerProcess, elapsed, ring
from tests.zoo_worker.conftest import child_pids, is_running, wait_until
from tests.zoo_worker.stand_in_registry import StandInJob, StandInRegistry
from tests.zoo_worker.test_attempts import members_of_group

pytestmark = pytest.mark.slow
StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.close()


@pytest.fixture
def start_worker(registry: StandInRegistry, broker: Broker, tmp_path: Path) -> Iterator[StartWorker]:
    workers: list[WorkerProcess] = []

    def start(**environment: str) -> WorkerProcess:
        worker = WorkerProcess(registry.url, broker, tmp_path / "state", **environment)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


def wait_for_step(job: StandInJob, step: int = 1) -> None:
    wait_until(lambda: any(body.step and body.step >= step for body in job.messages("metric")), 20)


def test_a_message_becomes_a_finished_job(registry: StandInRegistry, broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker().wait_ready()
    job = registry.submit("example.make")
    ring(broker, job)
    wait_until(lambda: job.state == "succeeded")
    assert worker.terminate() == 0


def test_a_busy_worker_leaves_messages_to_others_and_takes_the_most_urgent_first(
    registry: StandInRegistry, broker: Broker, start_worker: StartWorker
) -> None:
    start_worker().wait_ready()
    first, later, urgent = (registry.submit("example.wait", {"seconds": 2, "steps": 1}) for _ in range(3))
    ring(broker, first)
    wait_until(lambda: first.state == "running")
    ring(broker, later, priority=9)
    ring(broker, urgent, priority=0)
    time.sleep(1)
    assert broker.waiting("example.cpu") == 2
    wait_until(lambda: urgent.state == "running")
    assert (first.state, later.state) == ("succeeded", "queued")
    wait_until(lambda: later.state == "running")


def test_sigterm_gives_the_running_job_back_and_ends_within_the_grace(
    registry: StandInRegistry, broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker().wait_ready()
    job = registry.submit("example.wait", {"seconds": 0.2, "steps": 1000})
    ring(broker, job)
    wait_for_step(job)
    pid = child_pids(worker.state)[0]
    started = time.monotonic()
    assert worker.terminate() == 0
    assert elapsed(started) < 10
    assert (job.state, job.released) == ("queued", 1)
    assert not is_running(pid)


def test_kill_9_of_the_worker_takes_the_child_along_and_the_next_start_goes_on(
    registry: StandInRegistry, broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker().wait_ready()
    job = registry.submit("example.wait", {"seconds": 0.2, "steps": 12})
    ring(broker, job)
    wait_for_step(job, 3)
    pid = child_pids(worker.state)[0]
    worker.process.kill()
    wait_until(lambda: not is_running(pid), 3)
    job.state = "queued"  # what the registry does when the lease has expired
    start_worker().wait_ready()
    ring(broker, job)
    wait_until(lambda: job.state == "succeeded", 20)
    assert job.attempt == 2
    assert "Resumed after step" in job.logged()


def test_descendants_that_outlive_a_killed_worker_are_killed_at_the_next_start(
    registry: StandInRegistry, broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker().wait_ready()
    job = registry.submit("example.wait", {"failure": "orphan", "steps": 1})
    ring(broker, job)
    wait_until(lambda: child_pids(worker.state))
    leader = child_pids(worker.state)[0]
    wait_until(lambda: len(members_of_group(leader)) == 2)
    (orphan,) = set(members_of_group(leader)) - {leader}
    worker.process.kill()
    wait_until(lambda: not is_running(leader), 3)
    assert is_running(orphan)
    start_worker().wait_ready()
    wait_until(lambda: not is_running(orphan), 3)


def test_a_broker_that_was_killed_and_came_back_is_found_again(
    registry: StandInRegistry, broker: Broker, start_worker: StartWorker
) -> None:
    start_worker().wait_ready()
    running = registry.submit("example.wait", {"seconds": 0.5, "steps": 6})
    ring(broker, running)
    wait_for_step(running)
    broker.kill()
    wait_until(lambda: running.state == "succeeded")
    broker.start()
    job = registry.submit("example.make")
    ring(broker, job)
    wait_until(lambda: job.state == "succeeded", 60)
    assert running.attempt == 1


def test_a_worker_waits_for_the_registry_and_can_be_stopped_meanwhile(
    registry: StandInRegistry, start_worker: StartWorker
) -> None:
    registry.away = True
    worker = start_worker()
    wait_until(lambda: "trying again" in worker.output)
    assert " ready." not in worker.output
    assert worker.terminate() == 0
    registry.away = False
    start_worker().wait_ready()


def test_a_worker_with_a_wrong_token_ends_with_the_reason(start_worker: StartWorker) -> None:
    worker = start_worker(ZOO_WORKER_TOKEN="zoo_wrong")
    assert worker.process.wait(20) != 0
    assert "the worker cannot start: Refused: not-authenticated." in worker.output


def test_a_second_worker_on_the_same_state_folder_ends_with_the_reason(start_worker: StartWorker) -> None:
    start_worker().wait_ready()
    second = start_worker()
    assert second.process.wait(20) != 0
    assert "Another worker uses" in second.output


def test_a_misspelt_variable_ends_the_start_and_names_the_nearest(start_worker: StartWorker) -> None:
    worker = start_worker(ZOO_WORKER_QUEUE="example.cpu")
    assert worker.process.wait(20) != 0
    assert "ZOO_WORKER_QUEUES" in worker.output


def test_ctrl_c_gives_the_job_back_too(registry: StandInRegistry, broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker().wait_ready()
    job = registry.submit("example.wait", {"seconds": 0.2, "steps": 1000})
    ring(broker, job)
    wait_for_step(job)
    os.kill(worker.process.pid, signal.SIGINT)
    worker.process.wait(20)
    assert (job.state, job.released) == ("queued", 1)
