"""The parts of a one-machine Zoo as data: which programs and steps, with which environment, in which order."""

import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo_onebox.home import Home
from zoo_onebox.network import allowed_hosts, is_healthy, server_url
from zoo_onebox.postgres import prepare_postgres
from zoo_onebox.programs import HOME_MARK, Program, Step, Task
from zoo_onebox.valkey import broker_url, valkey_program
from zoo_sdk.discovery import discover_operations
from zoo_sdk.errors import Unavailable

PASSED_ON = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""What every Python part takes from our environment, beside what is made for it."""
WORKER_PASSED_ON = (
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "ZOO_WORKER_GPUS",
    "ZOO_WORKER_CACHE_GIB",
    "ZOO_WORKER_SHARED_CACHE_GIB",
    "ZOO_WORKER_ISOLATION",
    "ZOO_WORKER_USER",
)
SERVER_PASSED_ON = (
    "ZOO_X_ACCEL_PREFIX",
    "ZOO_STORE_QUOTA_GIB", "ZOO_DELETION_DAYS", "ZOO_LEASE_SECONDS", "ZOO_DEBUG", "ZOO_SIGNING_KEYS_DIR",
    "ZOO_PROXIES",
    "ZOO_AUDIT_CHECKPOINTS", "ZOO_S3_ENDPOINT_URL", "ZOO_S3_PUBLIC_URL", "ZOO_S3_BUCKET", "ZOO_S3_REGION",
    "ZOO_MIRROR_HOSTS", "ZOO_MIRROR_NETWORKS", "ZOO_MIRROR_LIMIT_GIB", "ZOO_WEBHOOK_NETWORKS",
)  # fmt: skip
SERVER_SECRETS = ("ZOO_S3_ACCESS_KEY_ID", "ZOO_S3_SECRET_ACCESS_KEY")
"""Never written down: the registry inherits them from us through the manager."""


MLFLOW_ACCESS = (
    "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
)  # fmt: skip
"""Access to an MLflow server that is somebody else's; the address may hold a password."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user chose; ports are already checked."""

    host: str = "127.0.0.1"
    port: int = 8080
    mlflow_port: int = 5000
    workers: bool = True


class Bootstrap:
    """What `zoo_server bootstrap --json` said: the administrator's token once, the workers' token for our keeping."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.admin_user = ""
        self.admin_token: str | None = None

    def take(self, output: str) -> None:
        """Read the command's answer; raises :class:`Unavailable` when the workers are left without a token."""
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        self.admin_user = str(answer.get("admin_user", ""))
        self.admin_token = answer.get("admin_token")
        if answer.get("worker_token"):
            self._home.keep_secret("worker-token", str(answer["worker_token"]))
        if not self._home.secret("worker-token").exists():
            raise Unavailable(
                f"The registry has made the workers' token before, but {self._home.secret('worker-token')} is missing.",
                hint="Put a token with the scope `worker` there.",
            )


class Zoo:
    """The whole Zoo of one home, ready to be started; making one empties the folder of the last run.

    ``external`` is the environment: with ``ZOO_DATABASE_URL``, ``ZOO_BROKER_URL`` or ``MLFLOW_TRACKING_URI`` set, that
    part is somebody else's and is not started.
    """

    def __init__(self, home: Home, options: Options, external: Mapping[str, str] = os.environ) -> None:
        home.prepare_run()
        self.home = home
        self.options = options
        self.external = external
        self.url = server_url(options.host, options.port)
        self.mlflow_url = external.get("MLFLOW_TRACKING_URI") or server_url("127.0.0.1", options.mlflow_port)
        self.bootstrap = Bootstrap(home)
        self.sockets = home.socket_folder("sockets")
        self.postgres = None if external.get("ZOO_DATABASE_URL") else prepare_postgres(home)
        home.generated_secret("secret-key")

    def tasks(self) -> tuple[Task, ...]:
        """All tasks; their order is in what each needs."""
        tasks: list[Task] = []
        if self.postgres is not None:
            tasks += self.postgres.tasks(self._base())
        if not self.external.get("ZOO_BROKER_URL"):
            tasks.append(valkey_program(self.home, self.sockets, self._base()))
        tasks += [*self._registry(), *self._celery()]
        if not self.external.get("MLFLOW_TRACKING_URI"):
            tasks.append(self._mlflow())
        if self.options.workers:
            tasks += [self._worker(family) for family in installed_families()]
        present = {task.name for task in tasks}
        return tuple(_without_absent(task, present) for task in tasks)

    def _base(self) -> dict[str, str]:
        return {HOME_MARK: str(self.home.root), "PATH": os.defpath, "LANG": "C.UTF-8"}

    def _python(self, *names: str) -> dict[str, str]:
        taken = {name: self.external[name] for name in (*PASSED_ON, *names) if name in self.external}
        return {**self._base(), "PYTHONUNBUFFERED": "1", **taken}

    def _tracking(self, environment: dict[str, str]) -> list[str]:
        if self.external.get("MLFLOW_TRACKING_URI"):
            return list(MLFLOW_ACCESS)
        environment["MLFLOW_TRACKING_URI"] = self.mlflow_url
        return []

    def _server(self) -> dict[str, Any]:
        """What every part of the registry gets: environment, inherited secrets and secret files."""
        environment = self._python(*SERVER_PASSED_ON)
        environment |= {
            "ZOO_HOME": str(self.home.root),
            "ZOO_URL": self.url,
            "ZOO_STORE_DIR": self.external.get("ZOO_STORE_DIR", str(self.home.store)),
            "ZOO_ALLOWED_HOSTS": self.external.get("ZOO_ALLOWED_HOSTS") or allowed_hosts(self.options.host),
        }
        inherited = [*SERVER_SECRETS, *self._broker(environment), *self._tracking(environment)]
        secrets = {"ZOO_SECRET_KEY": self.home.secret("secret-key")}
        if self.external.get("ZOO_SECRET_KEY"):
            secrets = {}
            inherited.append("ZOO_SECRET_KEY")
        if self.postgres is not None:
            environment["ZOO_DATABASE_URL"] = self.postgres.url("zoo")
        else:
            inherited.append("ZOO_DATABASE_URL")
        return {"environment": environment, "inherited": tuple(inherited), "secret_files": secrets}

    def _broker(self, environment: dict[str, str]) -> list[str]:
        if self.external.get("ZOO_BROKER_URL"):
            return ["ZOO_BROKER_URL"]
        environment["ZOO_BROKER_URL"] = broker_url(self.sockets)
        return []

    def _registry(self) -> list[Task]:
        bind = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        server = self._server()
        return [
            Step(
                name="migrate", title="database schema", needs=("databases",), seconds=300, **server,
                command=(sys.executable, "-m", "zoo_server", "migrate", "--noinput"),
            ),
            Step(
                name="bootstrap", title="administrator and tokens", needs=("migrate",), **server,
                finished=self.bootstrap.take,
                command=(sys.executable, "-m", "zoo_server", "bootstrap", "--json", *self._wanted_tokens()),
            ),
            Step(
                name="signing-key", title="signing key", needs=("migrate",), **server,
                command=(sys.executable, "-m", "zoo_server", "signing_key", "ensure"),
            ),
            Program(
                name="web", title="web server", needs=("migrate", "valkey"), stop_stage=30, stop_seconds=30, **server,
                command=(
                    sys.executable, "-m", "gunicorn", "zoo_server.config.wsgi:application",
                    "-c", "python:zoo_server.config.gunicorn", "--bind", f"{bind}:{self.options.port}",
                ),
                ready=lambda _output: is_healthy(f"{self.url}/healthz"),
            ),
        ]  # fmt: skip

    def _wanted_tokens(self) -> list[str]:
        """A workers' token that was lost is replaced."""
        return [] if self.home.secret("worker-token").exists() else ["--new-worker-token"]

    def _celery(self) -> list[Task]:
        server = self._server()
        celery = (sys.executable, "-m", "celery", "-A", "zoo_server.config.celery")
        schedule = (
            self.home.run / "beat-schedule"
        )  # rebuilt from the code at every start; nothing in it is worth keeping
        return [
            Program(
                name="beat", title="beat", needs=("migrate", "valkey"), stop_stage=40, **server,
                command=(*celery, "beat", "-l", "INFO", "-s", str(schedule), "--pidfile="),
                ready=lambda output: "beat: Starting" in output,
            ),
            Program(
                name="chores", title="chores", needs=("migrate", "valkey"), stop_stage=40, stop_seconds=30, **server,
                command=(
                    *celery, "worker", "-Q", "zoo.chores", "-P", "threads", "-c", "2", "-n", "chores@%h", "-l", "INFO",
                    "--without-mingle", "--without-gossip",
                ),
                ready=celery_is_ready,
            ),
        ]  # fmt: skip

    def _worker(self, family: str) -> Program:
        queues = [f"{family}.cpu", *([f"{family}.gpu"] if gpu_is_present() else [])]
        state = self.home.workers / family
        state.mkdir(mode=0o700, exist_ok=True)
        environment = self._python(*WORKER_PASSED_ON)
        inherited = [*self._broker(environment), *self._tracking(environment)]
        environment |= {
            "ZOO_URL": self.url,
            "ZOO_WORKER_STATE": str(state),
            "ZOO_WORKER_NAME": re.sub(r"[^A-Za-z0-9@._-]", "-", f"{family}@{socket.gethostname()}")[:120],
            "ZOO_WORKER_QUEUES": ",".join(queues),
        }
        return Program(
            name=f"worker-{family}", title=f"worker {family}", needs=("bootstrap", "web", "valkey"), directory=state,
            environment=environment, inherited=tuple(inherited),
            secret_files={"ZOO_WORKER_TOKEN": self.home.secret("worker-token")},
            command=(
                sys.executable, "-m", "celery", "-A", "zoo_worker.app", "worker", "-Q", ",".join(queues),
                "-P", "threads", "-c", "1", "-n", f"{family}@%h", "-l", "INFO", "--without-mingle", "--without-gossip",
            ),
            ready=celery_is_ready, stop_stage=50, stop_seconds=45,
        )  # fmt: skip

    def _mlflow(self) -> Program:
        environment = self._python() | {
            "MLFLOW_BACKEND_STORE_URI": self._mlflow_store(),
            "MLFLOW_ARTIFACTS_DESTINATION": str(self.home.mlflow / "artifacts"),
            # MLflow's own jobs (LLM judges) are four more processes that nothing here uses.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return Program(
            name="mlflow", title="MLflow", needs=("databases",), required=False, directory=self.home.mlflow,
            environment=environment,
            command=(
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(self.options.mlflow_port), "--workers", "1",
            ),
            ready=partial(_answers_health, f"{self.mlflow_url}/health"),
            stop_stage=20, stop_group=True, stop_seconds=15, seconds=240,
        )  # fmt: skip

    def _mlflow_store(self) -> str:
        if self.postgres is not None:
            return self.postgres.url("mlflow", "postgresql+psycopg2")
        # The registry's database is somebody else's, and so is the right to make one beside it.
        return f"sqlite:///{self.home.mlflow / 'mlflow.db'}"


def installed_families() -> list[str]:
    """The installed plugin groups that have something to do here: one worker each."""
    specs, gpu = discover_operations().values(), gpu_is_present()
    return sorted({spec.manifest.family for spec in specs if gpu or not spec.resources.gpus})


def gpu_is_present() -> bool:
    """Whether the workers have GPUs to give: so says the setting, else whether the machine shows an NVIDIA device."""
    given = os.environ.get("ZOO_WORKER_GPUS")
    if given is not None:
        return given.strip() != "none"
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()


def celery_is_ready(output: str) -> bool:
    """Whether a Celery worker has said that it consumes its queues."""
    return any(line.rstrip().endswith(" ready.") for line in output.splitlines())


def _answers_health(url: str, _output: str) -> bool:
    return is_healthy(url)


def _without_absent(task: Task, present: set[str]) -> Task:
    """The task, no longer waiting for parts that are somebody else's."""
    return replace(task, needs=tuple(name for name in task.needs if name in present))
