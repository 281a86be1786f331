"""From an exception to the failure that the registry is told: the cause, a code, a message and bounded facts."""

import errno
import json
import traceback
from typing import Any

from zoo_sdk.errors import InvalidInput, OperationError, Unavailable, ZooError
from zoo_sdk.vocabulary import FailureCause
from zoo_worker.handover import Failure

MAX_MESSAGE = 4000
MAX_TRACEBACK = 6000
MAX_FACTS_BYTES = 32 * 2**10

MEMORY_CLASSES = frozenset({"OutOfMemoryError", "OutOfMemory", "CUDAOutOfMemoryError", "ResourceExhaustedError"})
"""Frameworks' own classes, told by name because no framework is imported here."""
MEMORY_PHRASES = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def failure_of(error: BaseException) -> Failure:
    """The failure that an operation's exception means."""
    if isinstance(error, OperationError):
        cause, code = error.cause, error.code
    elif isinstance(error, InvalidInput):
        cause, code = FailureCause.INVALID_INPUT, error.code
    elif isinstance(error, Unavailable) or (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}):
        cause, code = FailureCause.INFRASTRUCTURE, "disk-full" if isinstance(error, OSError) else "unavailable"
    elif _is_memory_error(error):
        cause, code = FailureCause.OUT_OF_MEMORY, "out-of-memory"
    else:
        cause = FailureCause.PLUGIN_ERROR
        code = error.code if isinstance(error, ZooError) else "plugin-error"
    return make_failure(cause, code, _message(error), _facts(error))


def make_failure(cause: FailureCause, code: str, message: str, facts: dict[str, Any] | None = None) -> Failure:
    """A failure whose texts and facts are cut to what the registry takes."""
    return Failure(cause=cause, code=code[:100], message=printable(message)[:MAX_MESSAGE], facts=_bounded(facts or {}))


def printable(text: str) -> str:
    """The text without NUL, which PostgreSQL cannot keep, and without lone surrogates, which UTF-8 cannot."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if any(kind.__name__ in MEMORY_CLASSES for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in MEMORY_PHRASES)


def _message(error: BaseException) -> str:
    if isinstance(error, ZooError):
        return str(error)
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _facts(error: BaseException) -> dict[str, Any]:
    lines = "".join(traceback.format_exception(error, limit=-12))
    facts: dict[str, Any] = {"exception": type(error).__name__, "traceback": lines[-MAX_TRACEBACK:]}
    return facts | error.facts if isinstance(error, ZooError) else facts


def _bounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON of bounded size: what is no JSON becomes text, NaN becomes text too."""
    kept: dict[str, Any] = {}
    size = 0
    for key, value in facts.items():
        try:
            text = json.dumps(value, default=str, allow_nan=False)
        except (TypeError, ValueError):
            text = json.dumps(repr(value))
        text = printable(text).replace("\\u0000", "\\ufffd")
        size += len(text)
        if size > MAX_FACTS_BYTES:
            kept["left_out"] = "facts beyond the size limit"
            break
        kept[printable(str(key))[:100]] = json.loads(text)
    return kept
