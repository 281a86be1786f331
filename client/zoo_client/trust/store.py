"""The public keys that this user trusts, by registry: kept on first use, followed through rotations, in one file."""

import json
import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo_client.credentials import config_folder
from zoo_client.trust.signatures import Keys, is_signed, load_public_key
from zoo_sdk.attestations import KEY_PAYLOAD, Envelope, key_id
from zoo_sdk.errors import InvalidInput, NotFound

MAX_FILE_BYTES = 4 * 2**20
MAX_KEYS = 1000


@dataclass(frozen=True)
class TrustChange:
    """What a look at a registry's published keys changed; each list holds key ids.

    ``first``: nothing was known of the registry before.  ``unknown``: published, and vouched for by no trusted key.
    """

    first: bool = False
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class TrustStore:
    """``~/.config/zoo/keys.json``."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or config_folder(os.environ) / "keys.json"

    def trusted(self, url: str | None = None) -> Keys:
        """The trusted keys of a registry, or of all."""
        content = self._read()
        chosen = [content.get(url, {})] if url is not None else content.values()
        return {key: entry["public_key"] for registry in chosen for key, entry in registry.items()}

    def owner_of(self, key: str) -> str:
        """The registry that a trusted key belongs to, or nothing."""
        return next((url for url, registry in self._read().items() if key in registry), "")

    def trust(self, url: str, pem: str) -> str:
        """Trust a key of a registry from now on; returns its id."""
        load_public_key(pem)
        content = self._read()
        key = key_id(pem)
        content.setdefault(url, {})[key] = _entry(pem)
        self._write(content)
        return key

    def forget(self, key: str) -> None:
        """Trust a key no longer; raises :class:`NotFound` for one that was not trusted."""
        content = self._read()
        if not any(registry.pop(key, None) for registry in content.values()):
            raise NotFound(f"The key {key[:64]!r} is not one that you trust.", hint="`zoo keys list` shows them.")
        self._write(content)

    def follow(self, url: str, published: Iterable[Mapping[str, Any]]) -> TrustChange:
        """Learn from what a registry publishes.

        The first time every key that is not revoked is trusted.  Later a revoked key is dropped, and a new key is
        trusted if a trusted one vouches for it.  Everything else changes nothing: whoever took over a registry's
        address cannot make itself believed.
        """
        content = self._read()
        rows = sorted((dict(row) for row in published), key=lambda row: str(row["created_at"]))[:MAX_KEYS]
        known = content.get(url)
        change = TrustChange(first=known is None and any(row["state"] != "revoked" for row in rows))
        trusted = dict(known or {})
        for row in rows:
            if row["state"] == "revoked" and trusted.pop(row["id"], None):
                change.removed.append(row["id"])
        for row in rows:  # oldest first: an endorsement leads to the next one
            if row["state"] == "revoked" or row["id"] in trusted:
                continue
            genuine = key_id(str(row["public_key"])) == row["id"]
            if genuine and (change.first or _vouches(row, trusted)):
                trusted[row["id"]] = _entry(str(row["public_key"]))
                change.added.append(row["id"])
            else:
                change.unknown.append(row["id"])
        if trusted != (known or {}):
            content[url] = trusted
            self._write(content)
        return change

    def _read(self) -> dict[str, dict[str, dict[str, str]]]:
        try:
            if self.path.stat().st_size > MAX_FILE_BYTES:
                raise InvalidInput(f"{self.path} is too large to be a list of keys.", hint="Look at it, or remove it.")
            content = json.loads(self.path.read_text("utf-8"))
            return {
                str(url): {str(key): {"public_key": str(entry["public_key"]), **entry} for key, entry in keys.items()}
                for url, keys in content["registries"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{self.path} cannot be read ({error}).", hint="Look at it, or remove it.") from error

    def _write(self, content: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"registries": content}, file, indent=1)
        partial.replace(self.path)


def read_key_file(path: Path) -> tuple[str, str]:
    """Id and PEM text of a public key in a file."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{path} is too large to be a public key.")
    text = path.read_text("utf-8", errors="replace")
    load_public_key(text)
    return key_id(text), text


def _entry(pem: str) -> dict[str, str]:
    return {"public_key": pem, "since": datetime.now(UTC).isoformat(timespec="seconds")}


def _vouches(row: Mapping[str, Any], trusted: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a trusted key endorsed the published key ``row``."""
    try:
        envelope = Envelope.model_validate(row.get("endorsement"))
        content = json.loads(envelope.content)
        fits = envelope.payloadType == KEY_PAYLOAD and content["public_key"] == row["public_key"]
        signature = b64decode(envelope.signatures[0].sig)
    except (ValueError, TypeError, KeyError, ValidationError):
        return False
    signer = trusted.get(envelope.signatures[0].keyid)
    return fits and signer is not None and is_signed(signer["public_key"], signature, envelope.signed_bytes)
