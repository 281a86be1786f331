"""Hashes a file in order while other threads fill it."""

import hashlib
import mmap

from zoo_client.transfer.coverage import Coverage

PIECE_BYTES = 8 * 1024 * 1024
WINDOW_BYTES = 64 * 1024 * 1024


def digest_while_arriving(descriptor: int, size: int, coverage: Coverage) -> str | None:
    """``sha256:<hex>`` of the file, as soon as its last byte has arrived; None if the coverage was stopped before.

    The file is mapped (a window at a time), not read: hashing then copies nothing.
    """
    digest = hashlib.sha256()
    position = 0
    for start in range(0, size, WINDOW_BYTES):
        length = min(WINDOW_BYTES, size - start)
        with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=start) as window, memoryview(window) as view:
            while position < start + length:
                reach = coverage.wait_beyond(position)
                if reach is None:
                    return None
                end = min(reach, position + PIECE_BYTES, start + length)
                with view[position - start : end - start] as piece:
                    digest.update(piece)
                position = end
    return f"sha256:{digest.hexdigest()}"
