"""Counts bytes on the wire: a relay between a client and a server that passes everything on unchanged."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PIECE_BYTES = 256 * 1024


@dataclass
class Relay:
    """Where to connect, and what went through so far: ``sent`` by clients, ``received`` by them."""

    url: str
    sent: int = 0
    received: int = 0


@contextmanager
def counting_relay(target: str) -> Iterator[Relay]:
    """A relay to the http server at ``target``."""
    parts = urlsplit(target)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(f"http://127.0.0.1:{listener.getsockname()[1]}")
        lock = threading.Lock()
        threading.Thread(target=_accept, args=(listener, address, relay, lock), daemon=True).start()
        try:
            yield relay
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def _accept(listener: socket.socket, address: tuple[str, int], relay: Relay, lock: threading.Lock) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # the listener was closed
        server = socket.create_connection(address)
        for source, destination, direction in ((client, server, "sent"), (server, client, "received")):
            arguments = (source, destination, relay, direction, lock)
            threading.Thread(target=_pass_on, args=arguments, daemon=True).start()


def _pass_on(
    source: socket.socket, destination: socket.socket, relay: Relay, direction: str, lock: threading.Lock
) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            with lock:
                setattr(relay, direction, getattr(relay, direction) + len(piece))
            destination.sendall(piece)
    for end in (source, destination):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()
