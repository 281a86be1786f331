"""The home of a one-machine Zoo: its folders, its secrets, its lock, and the note `zoo.json` about what runs."""

import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from zoo_sdk.errors import InvalidInput

SOCKET_PATH_LIMIT = 107
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+=-]+")


@dataclass(frozen=True)
class Home:
    """Where everything of one Zoo lives."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Self:
        """Make the folders; those that exist keep their permissions, except the secrets'.

        Raises:
            InvalidInput: the folder cannot be made or written.

        """
        home = cls(root.expanduser().resolve())
        try:
            # Root's PostgreSQL runs as another user, who has to pass through.
            home.root.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            for folder in (home.logs, home.secrets, home.store, home.mlflow, home.workers):
                folder.mkdir(mode=0o700, exist_ok=True)
            home.secrets.chmod(0o700)
            if not os.access(home.root, os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))
        except OSError as error:
            raise InvalidInput(
                f"The Zoo's home {home.root} cannot be used: {error.strerror or error}.",
                hint="Choose another folder by --home or ZOO_HOME.",
                facts={"field": "home"},
            ) from error
        return home

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def specifications(self) -> Path:
        return self.run / "launch"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def workers(self) -> Path:
        return self.root / "workers"

    @property
    def note(self) -> Path:
        return self.root / "zoo.json"

    def secret(self, name: str) -> Path:
        """The file that holds a secret; it need not exist."""
        return self.secrets / name

    def keep_secret(self, name: str, value: str) -> Path:
        """Write a secret so that it is whole or absent, and readable by us alone."""
        path = self.secret(name)
        write_whole(path, value)
        return path

    def generated_secret(self, name: str) -> Path:
        """A random secret, made once in the life of this home."""
        path = self.secret(name)
        return path if path.exists() else self.keep_secret(name, secrets.token_urlsafe(48))

    def read_note(self) -> dict[str, Any]:
        """What the running Zoo says of itself (``url``, ``mlflow_url``, ``pid``, ``pids``, ``state``), or nothing."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_note(self, note: dict[str, Any]) -> None:
        """Replace the note in one go."""
        write_whole(self.note, json.dumps(note, indent=1))

    def prepare_run(self) -> None:
        """An empty folder for this run's sockets, schedules and specifications."""
        self.clear_run()
        self.specifications.mkdir(mode=0o700, parents=True)
        self.run.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def clear_run(self) -> None:
        """Remove what belongs to one run, also to one that crashed; only the holder of the lock may."""
        for marker in self.run.glob("*.elsewhere"):
            shutil.rmtree(marker.read_text(encoding="utf-8"), ignore_errors=True)
        shutil.rmtree(self.run, ignore_errors=True)
        self.note.unlink(missing_ok=True)

    def socket_folder(self, name: str, preferred: Path | None = None) -> Path:
        """A private folder for sockets whose paths the kernel, URLs and configuration files all accept.

        It is ``preferred`` (``run/<name>`` by default) where that is short and plain, else a fresh one in the
        user's runtime directory or ``/tmp``, remembered so that the next start removes it after a crash.
        """
        folder = preferred or self.run / name
        length = len(os.fsencode(folder / LONGEST_SOCKET_NAME))
        if length <= SOCKET_PATH_LIMIT and PLAIN_PATH.fullmatch(str(folder)):
            folder.mkdir(mode=0o700, exist_ok=True)
            return folder
        elsewhere = Path(tempfile.mkdtemp(prefix="zoo-", dir=_runtime_directory()))
        (self.run / f"{name}.elsewhere").write_text(str(elsewhere), encoding="utf-8")
        return elsewhere


def _runtime_directory() -> str:
    candidate = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = candidate and os.geteuid() != 0 and os.access(candidate, os.W_OK) and PLAIN_PATH.fullmatch(candidate)
    return candidate if usable and len(candidate) < 60 else "/tmp"  # noqa: S108 (a private folder is made inside)


def write_whole(path: Path, text: str) -> None:
    """Write a file of mode 0600 by rename, on disk before it is visible."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


class HomeLock:
    """The right to run a home: an flock, so that it ends with its holder however that one ends."""

    def __init__(self, home: Home) -> None:
        self._path = home.root / "zoo.lock"
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether the lock is ours now; children do not inherit it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
