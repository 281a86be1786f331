"""Remembers upload sessions in the user's cache folder, so that another process can go on with them."""

import hashlib
import json
import os
import time
from pathlib import Path

MAX_AGE_SECONDS = 14 * 24 * 3600
MAX_ENTRY_BYTES = 4096


class UploadJournal:
    """One small file for each unfinished upload, named after registry, destination and digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, url: str, route: str, digest: str) -> str | None:
        """The id of an unfinished session for these bytes, if one is known."""
        path = self._path(url, route, digest)
        try:
            if path.stat().st_size > MAX_ENTRY_BYTES:
                return None
            entry = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        session = entry.get("session") if isinstance(entry, dict) else None
        return session if isinstance(session, str) else None

    def note(self, url: str, route: str, digest: str, session: str) -> None:
        """Remember a session; also forgets those that are too old to exist on any server."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tidy()
        path = self._path(url, route, digest)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"session": session, "url": url}), "utf-8")
        partial.replace(path)

    def forget(self, url: str, route: str, digest: str) -> None:
        """The upload is complete, or its session is gone."""
        self._path(url, route, digest).unlink(missing_ok=True)

    def _path(self, url: str, route: str, digest: str) -> Path:
        name = hashlib.sha256(f"{url}\n{route}\n{digest}".encode()).hexdigest()
        return self._folder / f"{name}.json"

    def _tidy(self) -> None:
        oldest = time.time() - MAX_AGE_SECONDS
        for path in self._folder.iterdir():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was faster
