"""A real S3 endpoint in a process of its own: moto's server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from zoo_server.artifacts.s3_settings import S3Settings
from zoo_server.artifacts.s3_store import _client

START_SECONDS = 90
PROGRAM = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"


@dataclass(frozen=True)
class S3Service:
    """A running service."""

    url: str

    def bucket(self, name: str) -> S3Settings:
        """A fresh bucket of that name."""
        settings = S3Settings(bucket=name, access_key="key", secret_key="not-secret", endpoint_url=self.url)
        self.client(settings).create_bucket(Bucket=name)
        return settings

    def client(self, settings: S3Settings) -> Any:
        """To look behind the store's back."""
        return _client(settings, self.url)


@contextmanager
def s3_service() -> Iterator[S3Service]:
    """Run the service until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(port=port)],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(url, timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None, "moto's server ended"
                assert time.monotonic() < deadline, "moto's server does not answer"
                time.sleep(0.1)
        yield S3Service(url)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
