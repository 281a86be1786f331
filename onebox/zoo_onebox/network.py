"""Ports and addresses: refuse a taken one before anything starts, choose a free one, ask a server for its health."""

import errno
import http.client
import os
import socket
from contextlib import closing, suppress
from urllib.parse import urlsplit

import psutil

from zoo_sdk.errors import Conflict, InvalidInput

ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 (recognised, not bound)


def checked_port(host: str, port: int, option: str) -> int:
    """The port, if a server can listen there (0: a free one).

    Raises:
        Conflict: somebody listens there; names them where the system tells.
        InvalidInput: the port or the host is not ours to use.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _port_error(error, host, port, option) from error
        return int(probe.getsockname()[1])


def _port_error(error: OSError, host: str, port: int, option: str) -> Conflict | InvalidInput:
    facts = {"field": option, "port": port}
    if error.errno == errno.EADDRINUSE:
        detail = f"Port {port} on {host} is taken{_listener(port)}."
        return Conflict(detail, hint=f"Choose another by --{option} (0: any free one).", facts=facts)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return InvalidInput(
        f"Cannot listen on {host} port {port}: {reason}.", hint=f"Change --host or --{option}.", facts=facts
    )


def _listener(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return " by another program"


def server_url(host: str, port: int) -> str:
    """The address under which this machine reaches a server that listens on ``host``."""
    if host in ANY_ADDRESS:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def allowed_hosts(host: str) -> str:
    """Host names that the registry answers to, for Django: this machine's own, and all its names if it is open."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if host in ANY_ADDRESS:
        addresses = [item.address for items in psutil.net_if_addrs().values() for item in items]
        names += [socket.gethostname(), socket.getfqdn(), *(item for item in addresses if item.count(".") == 3)]
    else:
        names.append(f"[{host}]" if ":" in host else host)
    return ",".join(dict.fromkeys(names))


def is_healthy(url: str) -> bool:
    """Whether a GET answers 200 within a second."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=1.0)) as connection:
        try:
            connection.request("GET", parts.path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
