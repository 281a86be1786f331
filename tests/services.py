"""A pytest plugin: one real PostgreSQL for the whole test run, started before Django reads its settings.

It is prepared as `zoo up` prepares its own (so also as root, and below folders that others cannot enter), but without
fsync: nothing of a test run outlives it.  With ``ZOO_DATABASE_URL`` set, the tests use that server instead.  Workers of
pytest-xdist share their controller's server, each with a database of its own.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from zoo_onebox.home import Home
from zoo_onebox.postgres import SUPERUSER, Postgres, prepare_postgres
from zoo_worker.processes import SPIN_COUNT

START_SECONDS = 60


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start PostgreSQL, unless the developer names one, and point the server's settings to it."""
    # As a worker does for its children (decision 0003): threads that spin take the cores from the other processes.
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    os.environ.setdefault("ZOO_SECRET_KEY", "only-for-tests")
    os.environ.setdefault("ZOO_BROKER_URL", "redis://127.0.0.1:1/0")
    folder = Path(tempfile.mkdtemp(prefix="zoo-tests-"))
    folder.chmod(0o711)
    os.environ["ZOO_HOME"] = str(folder / "home")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if "ZOO_DATABASE_URL" not in os.environ:
        home = Home.create(folder / "services")
        home.prepare_run()
        postgres = prepare_postgres(home)
        _start(postgres)
        os.environ["ZOO_DATABASE_URL"] = postgres.url("zoo").replace("//zoo@", f"//{SUPERUSER}@")


def _start(postgres: Postgres) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    initdb, server, databases = postgres.tasks(environment)
    _run(postgres, *initdb.command)
    process = _spawn(postgres, *server.command, "-c", "fsync=off", "-c", "max_connections=200")
    atexit.register(_stop, process, postgres)
    deadline = time.monotonic() + START_SECONDS
    while not postgres.accepts():
        if process.poll() is not None or time.monotonic() > deadline:
            raise pytest.UsageError(f"PostgreSQL for the tests did not start (exit status {process.poll()}).")
        time.sleep(0.05)
    _run(postgres, *databases.command)


def _spawn(postgres: Postgres, *command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, user=postgres.user, env={}, cwd="/", stderr=subprocess.DEVNULL)


def _run(postgres: Postgres, *command: str) -> None:
    subprocess.run(command, user=postgres.user, env={}, cwd="/", check=True, capture_output=True)


def _stop(process: "subprocess.Popen[bytes]", postgres: Postgres) -> None:
    process.send_signal(signal.SIGQUIT)  # at once: nothing is kept
    process.wait(timeout=30)
    shutil.rmtree(postgres.location, ignore_errors=True)
