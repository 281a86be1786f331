"""Connections for bodies of files: plain :mod:`http.client` connections, kept open between requests."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from zoo_client.api import API_PREFIX, USER_AGENT
from zoo_client.errors import ServerFault, error_of_problem
from zoo_sdk.errors import ZooError

MAX_REDIRECTS = 5
MAX_PROBLEM_BYTES = 1024 * 1024
READ_AHEAD_BYTES = 256 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Broken(Exception):
    """The connection broke or could not be made: what was asked may be asked again."""


BREAKS = (ConnectionError, TimeoutError, http.client.HTTPException, ssl.SSLError, socket.gaierror)
"""What a network's failure raises; other ``OSError`` are the disk's and must not be mistaken for it."""


@dataclass(frozen=True)
class Exchange:
    """A connection on which a request was sent, and the response whose body is still to be read."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    @property
    def socket(self) -> socket.socket | None:
        """The plain socket below, or None where TLS lies between."""
        found: socket.socket | None = self.connection.sock
        return None if isinstance(found, ssl.SSLSocket) else found


class Wire:
    """Makes and keeps connections to one registry (and to where it redirects).  Safe for several threads.

    Args:
        url: the registry's address.
        token: sent to the registry only, never to where it redirects.
        timeout: seconds without a byte after which a connection counts as broken.

    """

    def __init__(self, url: str, token: str | None, *, timeout: float = 30) -> None:
        self.url = url
        self._token = token
        self.timeout = timeout
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def address_of(self, route: str) -> str:
        """The whole URL of a route below ``/api/v1``."""
        return self.url + API_PREFIX + route

    @contextmanager
    def get(self, address: str, headers: Mapping[str, str]) -> Iterator[Exchange]:
        """``GET`` with redirects followed.  The connection is kept if the body was read to its end.

        Raises:
            Broken: the network's failure, also while the caller reads the body inside the ``with``.
            ZooError: the answer is a problem document.

        """
        for _ in range(MAX_REDIRECTS + 1):
            with self._exchange("GET", address, headers) as exchange:
                if exchange.response.status not in REDIRECTS:
                    raise_for_problem(exchange.response, address)
                    yield exchange
                    return
                exchange.response.read(MAX_PROBLEM_BYTES)
                address = urljoin(address, exchange.response.headers.get("Location", ""))
        raise ServerFault(f"More than {MAX_REDIRECTS} redirects, the last to {address}.")

    @contextmanager
    def _exchange(self, method: str, address: str, headers: Mapping[str, str]) -> Iterator[Exchange]:
        with self.connection(address) as (connection, target):
            connection.request(method, target, headers={**self.headers_for(address), **headers})
            response = connection.getresponse()
            yield Exchange(connection, response)
            if not response.isclosed():
                connection.close()  # what is left of the body would be taken for the next answer

    @contextmanager
    def connection(self, address: str) -> Iterator[tuple[http.client.HTTPConnection, str]]:
        """A connection for ``address`` and the request target on it; given back unless the block raises."""
        parts = urlsplit(address)
        connection, target = self._take(parts)
        try:
            yield connection, target
        except BREAKS as error:
            connection.close()
            raise Broken(f"{parts.netloc}: {error or type(error).__name__}") from error
        except BaseException:
            connection.close()
            raise
        finally:
            self._give_back(parts, connection)

    def headers_for(self, address: str) -> dict[str, str]:
        """The headers of every request; the token only for the registry itself."""
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if self._token and _origin(urlsplit(address)) == _origin(urlsplit(self.url)):
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def interrupt(self) -> None:
        """Break every request under way, so that threads that wait for bytes wake up."""
        with self._lock:
            for connection in self._busy:
                if connection.sock is not None:
                    try:
                        connection.sock.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        continue  # it is closed already

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def _take(self, parts: SplitResult) -> tuple[http.client.HTTPConnection, str]:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy = getproxies().get(parts.scheme)
        via_proxy = bool(proxy) and not proxy_bypass(parts.netloc)
        if via_proxy and parts.scheme == "http":
            target = parts.geturl()
        with self._lock:
            idle = self._idle.get(_origin(parts))
            connection = idle.pop() if idle else None
            if connection is None:
                connection = self._connect(parts, proxy if via_proxy else None)
            self._busy.add(connection)
        return connection, target

    def _connect(self, parts: SplitResult, proxy: str | None) -> http.client.HTTPConnection:
        """A connection object; it connects with its first request."""
        server = urlsplit(proxy if "//" in proxy else f"http://{proxy}") if proxy else parts
        if not server.hostname:
            raise ServerFault(f"{parts.geturl()[:200]!r} names no host.")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            port = server.port or (8080 if proxy else 443)
            connection = http.client.HTTPSConnection(server.hostname, port, timeout=self.timeout, context=self._tls)
            if proxy:
                connection.set_tunnel(parts.hostname or "", parts.port or 443)
        elif parts.scheme == "http":
            port = server.port or (8080 if proxy else 80)
            connection = http.client.HTTPConnection(server.hostname, port, timeout=self.timeout)
        else:
            raise ServerFault(f"The registry redirects to {parts.geturl()[:200]!r}, which is neither http nor https.")
        connection.blocksize = READ_AHEAD_BYTES
        return connection

    def _give_back(self, parts: SplitResult, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if connection.sock is not None:
                self._idle.setdefault(_origin(parts), []).append(connection)


def _origin(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc


def raise_for_problem(response: http.client.HTTPResponse, address: str) -> None:
    """Raise the error that an unsuccessful answer stands for.

    Its ``facts["retry_after"]`` holds the server's wish, if any.
    """
    if response.status < 400:
        return
    content = response.read(MAX_PROBLEM_BYTES)
    problem: dict[str, Any] = {}
    try:
        found = json.loads(content)
        problem = found if isinstance(found, dict) else {}
    except ValueError:
        pass
    error: ZooError = error_of_problem(response.status, problem, where=urlsplit(address).path)
    error.facts.setdefault("status", response.status)
    error.facts.setdefault("retry_after", response.headers.get("Retry-After"))
    raise error
