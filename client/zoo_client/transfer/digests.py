"""SHA-256 of files, read in pieces."""

import hashlib
from collections.abc import Callable
from pathlib import Path

PIECE_BYTES = 1024 * 1024

Progress = Callable[[int], None]
"""Called with the number of bytes that were done since the last call; from several threads at once."""


def ignore_progress(count: int) -> None:
    """Nobody watches."""


def digest_of_bytes(content: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of_file(path: Path, progress: Progress = ignore_progress) -> str:
    """``sha256:<hex>`` of a file; a symbolic link is followed."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            progress(count)
    return f"sha256:{digest.hexdigest()}"
