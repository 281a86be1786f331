"""Opening a remote file over HTTP, at an offset, with every address on the way checked before it is connected to."""

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

from zoo_sdk.errors import InvalidInput, Unavailable
from zoo_server.catalog.addresses import Refused, Target, allowed_addresses, checked_address

SILENCE_SECONDS = 20.0
"""How long a server may say nothing."""
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
CONTENT_RANGE = re.compile(r"^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$")


class RemoteRefusal(InvalidInput):
    """The server does not give the file, or not in a way that can be checked."""

    code = "remote-refused"


@dataclass
class RemoteBytes:
    """The rest of a remote file from ``offset`` on; ``total`` is the size of the whole.

    ``validator`` is its strong ETag, else its Last-Modified, else empty: by it the server is asked later whether its
    file is still the same.  ``read`` answers what has arrived, and nothing more once ``deadline`` has passed.
    """

    response: http.client.HTTPResponse
    connection: http.client.HTTPConnection
    offset: int
    total: int
    validator: str
    deadline: float

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; empty at the end, when the server broke off, and at the deadline."""
        if monotonic() >= self.deadline:
            return b""
        try:
            return self.response.read1(size)
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.response.close()
        self.connection.close()


def open_remote(address: str, *, offset: int = 0, validator: str = "", deadline: float) -> RemoteBytes:
    """Ask for the file from ``offset`` on, if it is still the one that ``validator`` names; else from its start.

    Raises:
        Refused: an address on the way (also one that a redirect names) is not allowed.
        RemoteRefusal: the server says that the file is not there, or does not say how long it is.
        Unavailable: no answer, or one that says to try again.

    """
    for _ in range(MAX_REDIRECTS + 1):
        target = checked_address(address)
        connection, response = _answer(target, _headers(target, offset, validator))
        opened = None
        try:
            if response.status not in REDIRECTS:
                opened = _opened(response, connection, address, deadline)
                return opened
            address = urljoin(address, response.headers.get("Location") or "")
        finally:
            if opened is None:
                response.close()
                connection.close()
    raise Refused(f"The server redirects more than {MAX_REDIRECTS} times.", facts={"address": address})


def _headers(target: Target, offset: int, validator: str) -> dict[str, str]:
    headers = {"Host": target.netloc, "User-Agent": "zoo-mirror", "Accept": "*/*", "Accept-Encoding": "identity"}
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    return headers


def _answer(target: Target, headers: Mapping[str, str]) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Connect to one of the addresses that were looked at, and never to what the name means a moment later."""
    fault: Exception | None = None
    for found in allowed_addresses(target):
        connection = connection_to(target, SILENCE_SECONDS)
        try:
            connection.sock = socket_to(target, found, SILENCE_SECONDS)
            connection.request("GET", target.path, headers=dict(headers))
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            fault = error
    raise Unavailable(f"{target.netloc} does not answer: {fault or 'no address'}.") from fault


def connection_to(target: Target, seconds: float) -> http.client.HTTPConnection:
    """A connection that is not made yet; its socket is to be one of :func:`socket_to`."""
    return http.client.HTTPConnection(target.host, target.port, timeout=seconds)


def socket_to(target: Target, address: str, seconds: float) -> socket.socket:
    """Connect to that very address, under the target's name where TLS is spoken.  ``seconds``: longest silence."""
    plain = socket.create_connection((address, target.port), timeout=seconds)
    if target.scheme == "http":
        return plain
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def _opened(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, address: str, deadline: float
) -> RemoteBytes:
    status, facts = response.status, {"address": address, "status": response.status}
    if status in LATER:
        raise Unavailable(f"{address} answers {status} {response.reason}.", facts=facts)
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise Unavailable(f"{address} is shorter than it was.", facts=facts)
    if status not in {200, 206}:
        raise RemoteRefusal(
            f"{address} answers {status} {response.reason}.",
            hint="Look whether the file is still published there.",
            facts=facts,
        )
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RemoteRefusal(f"{address} answers with encoded bytes, although it was asked not to.", facts=facts)
    offset, total = _extent(response, address)
    return RemoteBytes(response, connection, offset, total, _validator(response), deadline)


def _extent(response: http.client.HTTPResponse, address: str) -> tuple[int, int]:
    """Where the answer begins, and how long the whole file is."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if match is None or int(match[2]) + 1 != int(match[3]):
            raise RemoteRefusal(f"{address} answers with another part than it was asked for.")
        return int(match[1]), int(match[3])
    if response.length is None:
        raise RemoteRefusal(
            f"{address} does not say how long it is, so it cannot be known whether all of it arrived.",
            hint="Mirror the file to a server that sends Content-Length.",
        )
    return 0, response.length


def _validator(response: http.client.HTTPResponse) -> str:
    etag = str(response.headers.get("ETag") or "")
    strong = etag if etag and not etag.startswith("W/") else ""
    return (strong or str(response.headers.get("Last-Modified") or ""))[:300]
