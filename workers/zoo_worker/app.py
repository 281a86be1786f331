"""The worker's Celery application: ``celery -A zoo_worker.app worker``; one task, which is the agent's ``run``."""

import logging
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from celery.signals import worker_shutting_down
from kombu import Queue

from zoo_sdk.errors import ZooError
from zoo_worker.agent import Agent, ShuttingDown
from zoo_worker.settings import read_settings

logger = logging.getLogger(__name__)

EXIT_FAILURE = 1
logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each heartbeat
settings = read_settings()
app = Celery("zoo_worker", broker=settings.broker_url)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    # The lease in the registry is what keeps a job safe: a message is done with as soon as somebody has read it.
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_pool="threads",
    worker_concurrency=1,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"priority_steps": list(range(10)), "sep": ":", "queue_order_strategy": "priority"},
    task_queues=[Queue(name) for name in settings.queues],
    task_create_missing_queues=True,
    timezone="UTC",
)
_agents: list[Agent] = []


class AgentStep(bootsteps.StartStopStep):
    """Starts the agent before the first message is taken, and lets it give its attempts back at the end."""

    requires = {"celery.worker.components:Pool"}

    def start(self, worker: Any) -> None:
        """Register; waits for the registry."""
        agent = Agent(settings, queues=tuple(worker.app.amqp.queues.consume_from))
        _agents.append(agent)
        try:
            agent.start()
        except ShuttingDown as error:
            raise WorkerShutdown(0) from error
        except ZooError as error:
            logger.critical("the worker cannot start: %s", error)
            raise WorkerShutdown(EXIT_FAILURE) from error

    def stop(self, worker: Any) -> None:
        """Wait for the attempts to be given back."""
        while _agents:
            _agents.pop().close()


app.steps["worker"].add(AgentStep)


@worker_shutting_down.connect
def give_attempts_back(how: str = "Warm", **_details: Any) -> None:
    """SIGTERM: attempts get the grace to reach a safe point.  SIGQUIT or a second signal: none."""
    for agent in _agents:
        agent.shut_down(at_once=how == "Cold")


@app.task(name="zoo_worker.run_job", ignore_result=True)
def run_job(job_id: str) -> None:
    """A job was queued: try to claim it and carry it out."""
    _agents[0].run(job_id)
