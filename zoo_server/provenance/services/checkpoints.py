"""Signed checkpoints of the audit log, kept in a file outside the database.

Whoever can write the database can write the whole log anew, hashes and all, or cut its end off.  A checkpoint says what
the newest link was at some time; since each hash covers all links before it, one that still fits vouches for everything
up to it.  Keep the file, or copies of it, where the database's administrators cannot write.
"""

import json
import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from zoo_sdk.attestations import CHECKPOINT_PAYLOAD, Envelope, canonical, envelope_of, pae
from zoo_sdk.errors import IntegrityError, Unavailable
from zoo_server.audit.selectors import head_of_chain
from zoo_server.provenance.key_files import is_signed_by, now_text
from zoo_server.provenance.services.keys import signing_key

LINE_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Checkpoint:
    """What the newest link was, and the DSSE envelope that says so."""

    sequence: int
    hash: str
    envelope: dict[str, Any]


def checkpoints_file() -> Path:
    """Where this server keeps its checkpoints."""
    path: Path = settings.ZOO_AUDIT_CHECKPOINTS
    return path


def make_checkpoint() -> Checkpoint:
    """Sign what the audit log is now; raises :class:`Unavailable` without a usable key."""
    key = signing_key()
    if key is None:
        raise Unavailable(
            "This registry has no signing key yet.", hint="Its operator makes one: zoo_server signing_key ensure."
        )
    sequence, head = head_of_chain()
    content = canonical(
        {"sequence": sequence, "hash": head, "time": now_text(), "registry": settings.ZOO_PUBLIC_URL, "key": key.id}
    )
    signature = key.sign(pae(CHECKPOINT_PAYLOAD, content))
    return Checkpoint(sequence, head, envelope_of(CHECKPOINT_PAYLOAD, content, [(key.id, signature)]))


def write_checkpoint(path: Path | None = None) -> Checkpoint | None:
    """Append a checkpoint to the file, on disk before this returns; None if nothing happened since the last one.

    Raises:
        Unavailable: there is no usable key, or the file cannot be written.

    """
    place = path or checkpoints_file()
    made = make_checkpoint()
    try:
        if made.sequence == _last_sequence(place):
            return None
        place.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(json.dumps(made.envelope) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(
            f"The checkpoint cannot be written to {place}: {error.strerror or error}.",
            hint="ZOO_AUDIT_CHECKPOINTS names the file.",
        ) from error
    return made


def read_checkpoints(path: Path, keys: Mapping[str, str]) -> dict[int, str]:
    """The links that the file's checkpoints name, by sequence; ``keys``: trusted public keys by id.

    Raises:
        IntegrityError: a line is none, is not signed by a trusted key, or contradicts another; names the line.

    """
    found: dict[int, str] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT), ""), 1):
            try:
                sequence, link = _read(line, keys)
            except IntegrityError as error:
                raise IntegrityError(f"{path}, line {number}: {error.detail}") from error
            if found.setdefault(sequence, link) != link:
                raise IntegrityError(f"{path}, line {number}: another checkpoint names another hash for {sequence}")
    found.pop(0, None)  # of an empty log
    return found


def _read(line: str, keys: Mapping[str, str]) -> tuple[int, str]:
    try:
        envelope = Envelope.model_validate(json.loads(line))
        signature = envelope.signatures[0]
        signed = b64decode(signature.sig, validate=True)
        content = json.loads(envelope.content)
        sequence, link = int(content["sequence"]), str(content["hash"])
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        raise IntegrityError("is no checkpoint") from error
    key = keys.get(signature.keyid)
    if envelope.payloadType != CHECKPOINT_PAYLOAD or key is None:
        raise IntegrityError(f"is not by a trusted key (it names {signature.keyid[:16]})")
    if not is_signed_by(key, signed, envelope.signed_bytes):
        raise IntegrityError("has a signature that does not fit")
    return sequence, link


def _last_sequence(path: Path) -> int | None:
    """The sequence in the file's last line; None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LINE_LIMIT))
            lines = file.read().splitlines()
        content = json.loads(b64decode(json.loads(lines[-1])["payload"]))
        return int(content["sequence"])
    except (FileNotFoundError, IndexError, ValueError, KeyError, TypeError):
        return None
