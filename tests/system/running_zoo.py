"""One whole Zoo as a user starts it, with a short lease; the means to hurt it, and to see what became of a job."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from zoo_client import Client
from zoo_client.records import Job
from zoo_onebox.home import Home
from zoo_onebox.leftovers import end_processes, marked_processes
from zoo_onebox.manager import Manager, ProgramState
from zoo_sdk.errors import Unavailable
from zoo_sdk.vocabulary import FINAL_JOB_STATES, JobState

LEASE_SECONDS = 10
TEAM = "zoo"
Found = TypeVar("Found")


@dataclass(frozen=True)
class RunningZoo:
    """A Zoo that runs, and a client with the administrator's token."""

    home: Home
    url: str
    mlflow_url: str
    token: str
    client: Client

    # Its programs

    @property
    def sockets(self) -> Path:
        """The folder of the manager's and Valkey's sockets."""
        return Path(self.home.read_note()["sockets"])

    @property
    def manager(self) -> Manager:
        """The process manager, to stop and start programs."""
        return Manager(self.home, self.sockets)

    def program(self, name: str) -> ProgramState:
        """What the manager says about a program."""
        return self.manager.states()[name]

    def kill(self, name: str, *, children: bool = False) -> int:
        """SIGKILL to a program, with ``children`` to all its processes; returns the process id it had."""
        process = psutil.Process(self.program(name).pid)
        victims = [process, *(process.children(recursive=True) if children else [])]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        return process.pid

    def wait_restarted(self, name: str, former: int, seconds: float = 60) -> None:
        """Until the manager runs the program in another process than ``former``."""
        self.wait(lambda: self.program(name).pid not in {0, former}, f"{name} was not started again", seconds)

    def operation_process(self, job: str) -> psutil.Process | None:
        """The child in which the job's operation runs."""
        for process in marked_processes(self.home):
            with suppress(psutil.Error):
                if "zoo_worker.child" in process.cmdline() and job in process.cmdline()[-1]:
                    return process
        return None

    # Its jobs

    def submit(
        self,
        operation: str,
        params: dict[str, Any],
        *,
        into: str = "",
        inputs: dict[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Queue a job whose version goes into ``zoo/<into>``; returns its id.

        It runs even if an equal job ran before it, unless ``cache`` says otherwise.
        """
        options = {"cache": "off"} | options
        outputs = {"model": f"{TEAM}/{into}"} if into else None
        job = self.client.jobs.submit(
            operation, inputs=inputs or {}, params=params, outputs=outputs, team=TEAM, **options
        )
        return job["id"]

    def job(self, job_id: str) -> Job:
        """The job as it is now; waits while the registry is away."""
        return self.wait(lambda: self._asked(lambda: self.client.jobs.show(job_id)), "the registry does not answer", 90)

    def wait_until(self, job_id: str, holds: Callable[[Job], object], what: str, seconds: float = 60) -> Job:
        """The job once ``holds`` is true of it."""

        def look() -> Job | None:
            job = self.job(job_id)
            assert holds(job) or job["state"] not in FINAL_JOB_STATES, f"{what}, but it ended: {job}"
            return job if holds(job) else None

        return self.wait(look, f"job {job_id}: not yet {what}", seconds)

    def wait_running(self, job_id: str, steps: int = 1) -> Job:
        """The job once its operation has done so many steps, each of which leaves a checkpoint."""
        return self.wait_until(
            job_id,
            lambda job: job["state"] == JobState.RUNNING and (job["progress"].get("done") or 0) >= steps,
            f"running with {steps} steps done",
        )

    def wait_ended(self, job_id: str, seconds: float = 120) -> Job:
        """The job once it has ended."""
        return self.wait_until(job_id, lambda job: job["state"] in FINAL_JOB_STATES, "ended", seconds)

    def log_lines(self, job_id: str) -> list[str]:
        """What the job's attempts said."""
        return [event["body"]["message"] for event in self.client.jobs.events(job_id, kind="log")]

    def mlflow_run(self, job_id: str, status: str, seconds: float = 90) -> dict[str, Any]:
        """The job's MLflow run once it has the status."""

        def look() -> dict[str, Any] | None:
            run_id = self.job(job_id)["mlflow_run_id"]
            if not run_id:
                return None
            with suppress(httpx.TransportError):
                answer = httpx.get(f"{self.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=20)
                run: dict[str, Any] = answer.json().get("run", {})
                seen.append(run.get("info", {}).get("status"))
                return run if seen[-1] == status else None
            return None

        seen: list[str | None] = []
        return self.wait(look, lambda: f"MLflow says {seen[-1:]} of job {job_id}, not {status}", seconds)

    def wait(self, look: Callable[[], Found | None], why: str | Callable[[], str], seconds: float) -> Found:
        """What ``look`` finds, asked again and again."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            said = why() if callable(why) else why
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {said}"
            time.sleep(0.2)
        return found

    @staticmethod
    def _asked(call: Callable[[], Found]) -> Found | None:
        with suppress(Unavailable):
            return call()
        return None


class Command:
    """``python -m zoo_onebox`` on one home, without what the test run has in its environment."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ZOO_", "MLFLOW_T"))
        } | {"ZOO_LEASE_SECONDS": str(LEASE_SECONDS)}

    def __call__(self, *words: str) -> str:
        command = [sys.executable, "-m", "zoo_onebox", words[0], "--home", str(self.home), *words[1:]]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self._environment, timeout=400, cwd="/"
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def started_zoo() -> Iterator[RunningZoo]:
    """Start a Zoo on a fresh home; stop it at the end, and see that it leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="zs", dir="/tmp"))  # short: sockets lie in it
    folder.chmod(0o755)
    home = Home(folder / "zoo")
    command = Command(home.root)
    try:
        said = json.loads(command("up", "--detach", "--json", "--port", "0", "--mlflow-port", "0"))
        with Client(said["url"], said["admin_token"]) as client:
            yield RunningZoo(home, said["url"], said["mlflow_url"], said["admin_token"], client)
        command("down")
        left = marked_processes(home)
        assert not left, f"`zoo down` left {left}"
    finally:
        end_processes([item for item in marked_processes(home) if "zoo_onebox" in item.cmdline()], seconds=60)
        end_processes(marked_processes(home), seconds=10)
        with suppress(FileNotFoundError):
            shutil.rmtree((home.root / "postgres" / "location").read_text().strip(), ignore_errors=True)
        home.clear_run()
        shutil.rmtree(folder, ignore_errors=True)


def end_process(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """SIGTERM and wait; SIGKILL if that does not do."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    finally:
        process.kill()
        process.wait()
