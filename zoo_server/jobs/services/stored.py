"""Values from workers and callers in the form that PostgreSQL's JSON can hold."""

import json
import math
from hashlib import sha256
from typing import Any

from pydantic import BaseModel

MAX_DEPTH = 20
REPLACEMENT = "\ufffd"


def storable(value: Any, *, depth: int = 0) -> Any:
    """``value`` without what JSON in PostgreSQL refuses: NUL, lone surrogates, NaN and infinities (None instead).

    A log line from a crashing process holds anything; it must not make its report fail.
    """
    if depth > MAX_DEPTH:
        return str(value)[:200]
    if isinstance(value, str):
        return value.replace("\x00", REPLACEMENT).encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {storable(str(key)): storable(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item, depth=depth + 1) for item in value]
    return value


def digest_of(message: BaseModel) -> str:
    """sha256 of a message's canonical JSON: two equal reports have one digest."""
    text = json.dumps(message.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
