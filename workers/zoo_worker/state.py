"""The worker's state folder: cache, attempts, checkpoints, journals, and the lock that makes it one worker's own."""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO

from zoo_sdk.errors import Conflict
from zoo_sdk.shared_cache import PARTIAL_SUFFIX

CHECKPOINT_DAYS = 14


class StateFolder:
    """Paths below ``ZOO_WORKER_STATE``.  One worker process holds the lock, so what lies here is its own or dead."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: IO[str] | None = None
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.cache, self.attempts, self.running, self.checkpoint_root, self.journals, self.shared_cache):
            folder.mkdir(exist_ok=True)

    @property
    def cache(self) -> Path:
        """Inputs by digest."""
        return self.root / "cache"

    @property
    def shared_cache(self) -> Path:
        """What operations keep for later jobs."""
        return self.root / "shared_cache"

    @property
    def attempts(self) -> Path:
        """One folder per attempt: inputs, outputs, scratch; gone when the attempt has ended."""
        return self.root / "attempts"

    @property
    def running(self) -> Path:
        """One record per child process that runs now."""
        return self.root / "running"

    @property
    def checkpoint_root(self) -> Path:
        """One folder per job that has not ended for good."""
        return self.root / "checkpoints"

    @property
    def journals(self) -> Path:
        """What has still to be told to MLflow."""
        return self.root / "journals"

    def checkpoints(self, job: str) -> Path:
        """The job's checkpoint folder, which outlives its attempts."""
        folder = self.checkpoint_root / job
        folder.mkdir(exist_ok=True)
        os.utime(folder)
        return folder

    def lock(self) -> None:
        """Take the folder for this process until it ends; raises :class:`Conflict` if another worker has it."""
        file = (self.root / "lock").open("w", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise Conflict(
                f"Another worker uses {self.root}.", hint="Give each worker its own folder with ZOO_WORKER_STATE."
            ) from error
        file.write(str(os.getpid()))
        file.flush()
        self._lock = file

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def sweep(self) -> None:
        """Remove what a dead predecessor left: attempts, half-written cache entries, old checkpoints."""
        for folder in self.attempts.iterdir():
            remove_tree(folder)
        oldest = time.time() - CHECKPOINT_DAYS * 24 * 3600
        for folder in self.checkpoint_root.iterdir():
            if folder.stat().st_mtime < oldest:
                remove_tree(folder)
        for partial in self.shared_cache.glob(f"*{PARTIAL_SUFFIX}"):
            partial.unlink()


def remove_tree(folder: Path) -> None:
    """Remove a folder and all below it, whatever the permissions inside."""
    for path, _folders, _files in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that a reader sees the old or the new content, never half of it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
