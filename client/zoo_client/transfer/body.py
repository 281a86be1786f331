"""Puts the body of a response into a file at a position, in the cheapest way that the connection allows."""

import errno
import fcntl
import http.client
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress

from zoo_client.transfer.digests import PIECE_BYTES
from zoo_client.transfer.wire import Exchange

Written = Callable[[int], None]
"""Called after each piece with the number of bytes that are in the file now."""


def write_body(
    exchange: Exchange, descriptor: int, position: int, length: int, *, timeout: float, written: Written
) -> None:
    """Write ``length`` bytes of the body to ``position`` of a file.

    On Linux and without TLS the bytes go from the socket through a pipe into the file (``splice``) and are never copied
    into this process: half the processor time of reading and writing, which counts where the server has the same cores.

    Raises:
        ConnectionError, TimeoutError, http.client.HTTPException: the network's failure.
        OSError: the disk's failure.

    """
    if (
        sys.platform == "linux"
        and exchange.socket is not None
        and exchange.response.length is not None
        and length > PIECE_BYTES
    ):
        position, length = _splice(exchange, descriptor, position, length, timeout, written)
    _copy(exchange.response, descriptor, position, length, written)


def _copy(response: http.client.HTTPResponse, descriptor: int, position: int, length: int, written: Written) -> None:
    buffer = memoryview(bytearray(min(PIECE_BYTES, max(length, 1))))
    while length:
        count = response.readinto(buffer[: min(len(buffer), length)])
        if not count:
            raise http.client.IncompleteRead(b"", length)
        _write_all(descriptor, buffer[:count], position)
        position, length = position + count, length - count
        written(count)


def _splice(
    exchange: Exchange, descriptor: int, position: int, length: int, timeout: float, written: Written
) -> tuple[int, int]:
    """Move all but the last byte; answer position and length of the rest: ``readinto`` then sees the end."""
    response, source = exchange.response, exchange.socket
    if source is None or response.length is None:
        return position, length
    ahead = response.read1(min(len(response.fp.peek()), length - 1))
    _write_all(descriptor, ahead, position)
    written(len(ahead))
    position, length = position + len(ahead), length - len(ahead)
    readable = select.poll()
    readable.register(source, select.POLLIN)
    pipe_out, pipe_in = os.pipe()
    try:
        with suppress(OSError):  # an ordinary user may have used up the pipes' memory: then the pipe stays small
            fcntl.fcntl(pipe_in, fcntl.F_SETPIPE_SZ, PIECE_BYTES)
        while length > 1:
            try:
                count = os.splice(source.fileno(), pipe_in, min(PIECE_BYTES, length - 1))
            except BlockingIOError:
                if not readable.poll(timeout * 1000):
                    raise TimeoutError(f"no byte for {timeout:g} s") from None
                continue
            if not count:
                raise http.client.IncompleteRead(b"", length)
            _empty_pipe(pipe_out, descriptor, position, count)
            position, length = position + count, length - count
            response.length -= count
            written(count)
    finally:
        os.close(pipe_out)
        os.close(pipe_in)
    return position, length


def _empty_pipe(pipe: int, descriptor: int, position: int, count: int) -> None:
    end = position + count
    while position < end:
        try:
            position += os.splice(pipe, descriptor, end - position, offset_dst=position)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            piece = os.read(pipe, end - position)  # a file system without splice
            _write_all(descriptor, piece, position)
            position += len(piece)


def _write_all(descriptor: int, data: bytes | memoryview, position: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, position)
        view, position = view[count:], position + count
