"""The audit log as files: events as CSV or JSON lines, and signed checkpoints."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from zoo_client.trust.signatures import Keys, signer_of
from zoo_sdk.attestations import CHECKPOINT_PAYLOAD, Envelope
from zoo_sdk.errors import IntegrityError

COLUMNS = (
    "sequence", "time", "actor", "actor_id", "token_id", "address", "action", "team", "object_type", "object_id",
    "object_name", "details", "digest", "hash", "id",
)  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula: names in the log come from others."""
LINE_LIMIT = 64 * 1024


def write_jsonl(events: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """One event a line, as the registry answers them; returns how many."""
    count = 0
    for event in events:
        file.write(json.dumps(event, ensure_ascii=False) + "\n")
        count += 1
    return count


def write_csv(events: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """A table with a heading; cells that a spreadsheet would take for a formula begin with an apostrophe."""
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    count = 0
    for event in events:
        rows.writerow([_cell(event.get(name)) for name in COLUMNS])
        count += 1
    return count


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def read_checkpoints(path: Path, keys: Keys) -> dict[int, str]:
    """Sequence and hash of the links that a file of checkpoints names (one DSSE envelope a line).

    Raises:
        IntegrityError: a line is no checkpoint, not signed by a trusted key, or contradicts another; names the line.

    """
    found: dict[int, str] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            envelope = Envelope.model_validate(json.loads(line))
            content = json.loads(envelope.content)
            sequence, link = int(content["sequence"]), str(content["hash"])
        except (ValueError, TypeError, KeyError, ValidationError) as error:
            raise IntegrityError(f"{path}, line {number} is no checkpoint.") from error
        if envelope.payloadType != CHECKPOINT_PAYLOAD or signer_of(envelope, keys) is None:
            raise IntegrityError(
                f"{path}, line {number} is not signed by a key that you trust.", hint="`zoo keys list` shows them."
            )
        if found.setdefault(sequence, link) != link:
            raise IntegrityError(f"{path}, line {number} names another hash for link {sequence} than a line before it.")
    found.pop(0, None)  # of an empty log
    return found


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from iter(lambda: file.readline(LINE_LIMIT), "")
