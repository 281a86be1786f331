"""What proves a pulled folder: written beside the model by a pull, read by a verification."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_sdk.attestations import PROVENANCE_FOLDER
from zoo_sdk.errors import Conflict, IntegrityError

SIGNATURE_NAME = "model.sig"
PROVENANCE_NAME = "provenance.json"
ANCESTORS_NAME = "ancestors.jsonl"
KEYS_NAME = "keys"
MAX_MATERIAL_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Material:
    """The texts in a folder; None for what is not there."""

    signature: str | None
    provenance: str | None
    ancestors: Sequence[str]


def write_material(folder: Path, attestations: Mapping[str, Any]) -> Path:
    """Write the answer of ``GET .../attestations?chain=true`` beside the pulled files; what was there is replaced."""
    place = folder / PROVENANCE_FOLDER
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise Conflict(f"{place} is not a folder of its own.", hint="Pull into an empty folder.")
    fresh = folder / f".{PROVENANCE_FOLDER}.part"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / KEYS_NAME).mkdir(parents=True)
    for name, document in ((SIGNATURE_NAME, "signature"), (PROVENANCE_NAME, "provenance")):
        if attestations.get(document):
            (fresh / name).write_text(json.dumps(attestations[document]) + "\n", "utf-8")
    lines = [json.dumps(item["envelope"]) + "\n" for item in attestations.get("ancestors", [])]
    (fresh / ANCESTORS_NAME).write_text("".join(lines), "utf-8")
    for key in attestations.get("keys", []):
        name = str(key["id"])
        if name.isalnum() and key["state"] != "revoked":
            (fresh / KEYS_NAME / f"{name}.pem").write_text(key["public_key"], "utf-8")
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    return place


def read_material(folder: Path) -> Material:
    """What a pull wrote; raises :class:`IntegrityError` for what cannot be it."""
    place = folder / PROVENANCE_FOLDER
    ancestors = _text(place / ANCESTORS_NAME) or ""
    return Material(
        _text(place / SIGNATURE_NAME),
        _text(place / PROVENANCE_NAME),
        [line for line in ancestors.splitlines() if line.strip()],
    )


def _text(path: Path) -> str | None:
    try:
        if path.is_symlink() or path.stat().st_size > MAX_MATERIAL_BYTES:
            raise IntegrityError(f"{path} is a link, or too large to be what a pull wrote.")
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}") from error
