"""Which registry and token to use: options over environment over the file that ``zoo login`` wrote."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo_sdk.environment import check_environment
from zoo_sdk.errors import InvalidInput

DEFAULT_URL = "http://127.0.0.1:8080"
MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The registry's address and the token, and where each came from (for messages)."""

    url: str
    token: str | None
    url_from: str
    token_from: str


def config_folder(environ: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME/zoo``, usually ``~/.config/zoo``."""
    return Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "zoo"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """``$XDG_CACHE_HOME/zoo``, usually ``~/.cache/zoo``."""
    return Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zoo"


def resolve(url: str | None, token: str | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Find address and token; raises :class:`UnknownName` for a misspelt ``ZOO_*`` variable.

    The kept token is used with the registry that it was kept for only: another address must not see it.
    """
    check_environment(environ)
    kept = LoginFile(config_folder(environ) / "login.json")
    url, url_from = _first((url, "--url"), (environ.get("ZOO_URL"), "ZOO_URL"), (kept.current(), str(kept.path)))
    url, url_from = (url, url_from) if url else (DEFAULT_URL, "the default")
    url = url.rstrip("/")
    token, token_from = _first(
        (token, "--token"), (environ.get("ZOO_TOKEN"), "ZOO_TOKEN"), (kept.token(url), str(kept.path))
    )
    return Settings(url, token, url_from, token_from)


def _first(*choices: tuple[str | None, str]) -> tuple[str | None, str]:
    return next(((value, source) for value, source in choices if value), (None, "nowhere"))


class LoginFile:
    """Tokens by registry, readable by their owner only, and the registry that was signed in to last."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def current(self) -> str | None:
        """The registry that was signed in to last."""
        url = self._read().get("current")
        return url if isinstance(url, str) else None

    def token(self, url: str) -> str | None:
        """The token for a registry."""
        tokens = self._read().get("tokens")
        token = tokens.get(url) if isinstance(tokens, dict) else None
        return token if isinstance(token, str) else None

    def keep(self, url: str, token: str) -> None:
        """Remember a token and make its registry the current one."""
        tokens = self._tokens()
        tokens[url] = token
        self._write({"current": url, "tokens": tokens})

    def forget(self, url: str) -> bool:
        """Remove a registry's token; False if there was none."""
        tokens = self._tokens()
        found = tokens.pop(url, None) is not None
        if found:
            self._write({"current": next(iter(tokens), None), "tokens": tokens})
        return found

    def _tokens(self) -> dict[str, object]:
        tokens = self._read().get("tokens")
        return dict(tokens) if isinstance(tokens, dict) else {}

    def _read(self) -> dict[str, object]:
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise InvalidInput(f"{self.path} is too large to be a login file.", hint="Remove it and sign in again.")
            content = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{self.path} cannot be read ({error}).", hint="Remove it and sign in again.") from error
        return content if isinstance(content, dict) else {}

    def _write(self, content: dict[str, object]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        partial.replace(self.path)
