"""Sends the files of an attempt's outputs through its upload sessions, going on where a broken connection left off."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from zoo_sdk.artifacts import FileEntry
from zoo_sdk.errors import Conflict, LeaseLost, OperationError, Unavailable
from zoo_sdk.names import checked_path
from zoo_worker.registry import AttemptRoutes, persistently

logger = logging.getLogger(__name__)

PART_BYTES = 8 * 2**20
PATIENCE_SECONDS = 900.0
MAX_FILES = 10_000
MAX_BREAKS = 20
BREAK_SECONDS = 0.5
"""Broken connections in a row, without a part arriving whole, and the pause after each."""


def output_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The regular files below a port's folder, by their path in the version.

    Raises:
        OperationError: the operation left a link, a device or too many files there.
        InvalidInput: a file's name is not one that a version can hold.

    """
    count = 0
    for current, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *(item for item in folders if Path(current, item).is_symlink())]):
            path = Path(current, name)
            relative = path.relative_to(folder).as_posix()
            count += 1
            if path.is_symlink() or not path.is_file():
                raise OperationError(f"The operation left {relative!r}, which is not a regular file, in its output.")
            if count > MAX_FILES:
                raise OperationError(f"The operation left more than {MAX_FILES} files in its output.")
            yield checked_path(relative), path


def upload_file(routes: AttemptRoutes, name: str, path: Path, check: Callable[[], None]) -> FileEntry:
    """Send one file; ``check`` is called between parts and may raise to stop."""
    size = path.stat().st_size
    with path.open("rb") as file:
        sha256 = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    check()
    session = persistently(
        lambda: routes.open_upload(size=size, sha256=sha256, filename=name), seconds=PATIENCE_SECONDS
    )
    if session.get("state") != "complete":
        identifier = str(session["id"])
        _send_parts(routes, identifier, int(session.get("offset", 0)), path, check)
        check()
        persistently(lambda: routes.complete_upload(identifier, sha256), seconds=PATIENCE_SECONDS)
    return FileEntry(path=name, sha256=sha256, size=size)


def _send_parts(routes: AttemptRoutes, session: str, offset: int, path: Path, check: Callable[[], None]) -> None:
    size = path.stat().st_size
    breaks = 0
    with path.open("rb") as file:
        while offset < size:
            check()
            file.seek(offset)
            try:
                offset, breaks = routes.send_part(session, offset, file.read(PART_BYTES)), 0
            except LeaseLost:
                raise
            except (Unavailable, Conflict) as error:
                breaks += 1
                if breaks > MAX_BREAKS:
                    raise
                logger.warning("the upload of %s broke off at byte %d: %s", path.name, offset, error)
                time.sleep(BREAK_SECONDS)
                # How much of the part arrived, only the registry knows.
                offset = persistently(lambda: routes.upload_offset(session), seconds=PATIENCE_SECONDS)
