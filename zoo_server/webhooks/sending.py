"""One message over HTTP: to an address that was looked at, without redirects, bounded in time and size."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings

from zoo_sdk.errors import ZooError
from zoo_server.catalog.addresses import Target, checked_address, public_addresses
from zoo_server.catalog.remote import connection_to, socket_to
from zoo_server.webhooks.secrets import signature_header

SILENCE_SECONDS = 10.0
"""How long the receiver may say nothing, at each step."""
WHOLE_SECONDS = 20.0
"""How long a try may take altogether."""


@dataclass(frozen=True)
class Message:
    """What is sent where; ``keys``: the secrets that sign it."""

    url: str
    id: str
    body: bytes
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What came back.  ``status`` None: no answer, for the reason in ``error``."""

    status: int | None
    error: str
    milliseconds: int

    @property
    def taken(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


def send(message: Message) -> Answer:
    """Send the message; never raises for what the receiver, its network or its address do.

    The body of the answer is not read: it is nobody's business here.
    """
    begun = time.monotonic()
    status, error = None, ""
    try:
        status = _exchange(message)
    except ZooError as refused:
        error = str(refused)
    except (OSError, http.client.HTTPException) as broken:
        error = f"No answer: {broken or type(broken).__name__}."
    if status is not None and not 200 <= status < 300:
        error = f"Answered {status}." + (" Redirects are not followed." if 300 <= status < 400 else "")
    return Answer(status, error, int((time.monotonic() - begun) * 1000))


def _exchange(message: Message) -> int:
    target = checked_address(message.url)
    addresses = public_addresses(target, settings.ZOO_WEBHOOK_NETWORKS, setting="ZOO_WEBHOOK_NETWORKS")
    timestamp = int(time.time())
    headers = {
        "Host": target.netloc,
        "User-Agent": "zoo-webhooks",
        "Content-Type": "application/json",
        "Content-Length": str(len(message.body)),
        "Connection": "close",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(message.id, timestamp, message.body, message.keys),
    }
    connection = connection_to(target, SILENCE_SECONDS)
    connection.sock = _connected(target, addresses)
    try:
        with _bounded(connection.sock) as hung_up:
            connection.request("POST", target.path, message.body, headers)
            response = connection.getresponse()
            response.close()
        if hung_up.is_set():
            raise TimeoutError(f"it took longer than {WHOLE_SECONDS:g} seconds")
        return response.status
    finally:
        connection.close()


def _connected(target: Target, addresses: Sequence[str]) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    fault: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return socket_to(target, address, SILENCE_SECONDS)
        except OSError as error:
            fault = error
    raise fault


@contextmanager
def _bounded(open_socket: socket.socket) -> Iterator[threading.Event]:
    """Hang up after :data:`WHOLE_SECONDS`, and say so: a receiver that sends a byte now and then is never silent."""
    hung_up = threading.Event()

    def hang_up() -> None:
        hung_up.set()
        try:
            open_socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already

    timer = threading.Timer(WHOLE_SECONDS, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield hung_up
    finally:
        timer.cancel()
