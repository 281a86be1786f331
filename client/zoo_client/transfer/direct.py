"""Direct uploads: a file's parts go to the registry's S3 service, several at a time; the bucket knows those it has."""

import base64
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoo_client.api import Api, path_of, wait_seconds
from zoo_client.errors import Unreachable
from zoo_client.transfer.digests import Progress
from zoo_client.transfer.wire import BREAKS, MAX_PROBLEM_BYTES, Broken, Wire
from zoo_sdk.errors import Unavailable

AT_ONCE = 4
TRIES = 6
PIECE = 2**20


class NotReachable(Unreachable):
    """The S3 service answers nothing to us: the bytes have to go through the registry."""


@dataclass(frozen=True)
class DirectSender:
    """One file on its way to the bucket; ``start``: where in the file its ``size`` bytes begin."""

    api: Api
    wire: Wire
    session_id: str
    path: Path
    size: int
    part_size: int
    progress: Progress
    sleep: Callable[[float], None] = time.sleep
    start: int = 0

    def send(self) -> None:
        """Send the parts that the bucket lacks.

        Raises:
            NotReachable: not one part got through.
            Unreachable: the connection broke again and again.

        """
        route = path_of("uploads", self.session_id, "parts")
        count = max(1, -(-self.size // self.part_size))
        there = {
            part["number"] for part in self.api.get(route)["parts"] if part["size"] == self._length(part["number"])
        }
        self.progress(sum(map(self._length, there)))
        missing = [number for number in range(1, count + 1) if number not in there]
        if missing and not there:
            self._send_part(missing.pop(0), tries=2, unreachable=NotReachable)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._send_part, missing):
                pass

    def _length(self, number: int) -> int:
        return min(self.part_size, self.size - (number - 1) * self.part_size)

    def _send_part(self, number: int, tries: int = TRIES, unreachable: type[Unreachable] = Unreachable) -> None:
        start, length = self.start + (number - 1) * self.part_size, self._length(number)
        with self.path.open("rb") as file:
            checksum = _checksum(file.fileno(), start, length)
            for attempt in range(1, tries + 1):
                offered = self._offer(number, checksum)
                try:
                    self._put(offered, file.fileno(), start, length)
                except Broken as error:
                    reason = error
                    self.sleep(wait_seconds(attempt))
                    continue
                self.progress(length)
                return
        raise unreachable(
            f"The S3 service did not take a part: {reason}.", hint="Run it again: it goes on where it was."
        )

    def _offer(self, number: int, checksum: str) -> dict[str, Any]:
        body = {"parts": [{"number": number, "checksum": checksum}]}
        answer = self.api.post(path_of("uploads", self.session_id, "parts"), body, repeatable=True)
        offered: dict[str, Any] = answer["parts"][0]
        return offered

    def _put(self, offered: dict[str, Any], descriptor: int, start: int, length: int) -> None:
        address = offered["url"]
        headers = {**self.wire.headers_for(address), "Content-Length": str(length), **offered["headers"]}
        with self.wire.connection(address) as (connection, target):
            connection.putrequest("PUT", target, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            with os.fdopen(os.dup(descriptor), "rb") as file:
                connection.sock.sendfile(file, start, length)
            response = connection.getresponse()
            content = response.read(MAX_PROBLEM_BYTES)
            if response.status >= 300:
                host = urlsplit(address).netloc
                raise BREAKS[0](f"{host} answered {response.status}: {content[:300]!r}")


def _checksum(descriptor: int, start: int, length: int) -> str:
    state = hashlib.sha256()
    position, end = start, start + length
    while position < end:
        piece = os.pread(descriptor, min(PIECE, end - position), position)
        if not piece:
            raise Unavailable(
                "The file became shorter while it was sent.", hint="Run it again when nobody writes to it."
            )
        state.update(piece)
        position += len(piece)
    return base64.b64encode(state.digest()).decode()
