"""Files that the jobs of one worker share, by key: written once, checked whenever they are read."""

import mmap
import os
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from zoo_sdk.errors import InvalidInput

SEAL_BYTES = 32
READ_BYTES = 2**20
PARTIAL_SUFFIX = ".partial"
_KEY = re.compile(r"^[a-z0-9][a-z0-9._-]{0,199}$")


class SharedCache:
    """Entries below ``context.shared_cache``.

    A key says everything that the bytes depend on (a digest over it is a good one): an entry is never changed. Each
    file ends with the SHA-256 of its content. An entry may be gone at any time, for the worker evicts what was not
    used for longest; one that is held as a memory view stays readable until it is let go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> memoryview | None:
        """The entry's bytes, mapped into memory read-only; None if it is not here or is damaged (then it is removed).

        Reads the whole file once to check it.
        """
        path = self._path(key)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size - SEAL_BYTES
                digest = sha256()
                for start in range(0, size, READ_BYTES):
                    digest.update(file.read(min(READ_BYTES, size - start)))
                if size <= 0 or file.read() != digest.digest():
                    path.unlink(missing_ok=True)
                    return None
                os.utime(path)
                return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            return None

    def put(self, key: str, parts: Iterable[bytes | memoryview]) -> memoryview:
        """Write an entry from its parts, one after another, and map it.

        Several writers of one key do not disturb each other: the last one's entry stays. If ``parts`` raises, nothing
        is kept.

        Raises:
            OSError: the disk is full or cannot be written.
            InvalidInput: the parts were empty.

        """
        path = self._path(key)
        with NamedTemporaryFile(dir=self._folder, prefix=f"{key[:100]}.", suffix=PARTIAL_SUFFIX, delete=False) as file:
            try:
                size = _write_sealed(file, parts)
                view = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return view

    def _path(self, key: str) -> Path:
        if not _KEY.match(key) or key.endswith(PARTIAL_SUFFIX):
            raise InvalidInput(
                f"{key!r} cannot name a cache entry.", hint="Use a-z, 0-9, '.', '_' and '-', at most 200."
            )
        return self._folder / key


def _write_sealed(file: IO[bytes], parts: Iterable[bytes | memoryview]) -> int:
    digest = sha256()
    for part in parts:
        digest.update(part)
        file.write(part)
    size = file.tell()
    if not size:
        raise InvalidInput("A cache entry without bytes cannot be kept.")
    file.write(digest.digest())
    file.flush()
    return size


def digest_of_files(digests: Iterable[tuple[str, str]]) -> str:
    """One digest for many files, from (path, ``sha256:`` digest) of each, in any order."""
    whole = sha256()
    for path, digest in sorted(digests):
        whole.update(f"{digest} {path}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def digest_of_folder(folder: Path) -> str:
    """:func:`digest_of_files` of all files below ``folder``, which are read for it."""
    return digest_of_files(
        (path.relative_to(folder).as_posix(), digest_of_file(path)) for path in folder.rglob("*") if path.is_file()
    )


def digest_of_file(path: Path) -> str:
    """``sha256:`` and the digest of a file's bytes."""
    digest = sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"
