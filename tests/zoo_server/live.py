"""Starts the real server under gunicorn on the tests' database, on a port of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
from django.db import connection

START_SECONDS = 60


@dataclass(frozen=True)
class LiveServer:
    """A running gunicorn: its address and its process."""

    url: str
    process: subprocess.Popen[bytes]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """Kill -9 the server and its workers."""
        for process in (*self.workers(), psutil.Process(self.process.pid)):
            process.kill()
        self.process.wait(20)


def database_url() -> str:
    """The URL of the tests' database."""
    parts = urlsplit(os.environ["ZOO_DATABASE_URL"])
    return urlunsplit(parts._replace(path="/" + str(connection.settings_dict["NAME"])))


@contextmanager
def live_server(store: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[LiveServer]:
    """Run gunicorn with the project's settings until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "gunicorn", "-c", "python:zoo_server.config.gunicorn"]
        command += ["--bind", f"fd://{descriptor}", *options, "zoo_server.config.wsgi:application"]
        variables = os.environ | {"ZOO_DATABASE_URL": database_url(), "ZOO_STORE_DIR": str(store)} | dict(environ or {})
        process = subprocess.Popen(command, env=variables, pass_fds=[descriptor])
    try:
        transport = httpx.HTTPTransport(retries=2)
        with httpx.Client(transport=transport, timeout=START_SECONDS) as client:
            client.get(f"{url}/healthz").raise_for_status()
        yield LiveServer(url, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
