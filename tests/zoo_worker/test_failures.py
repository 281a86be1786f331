"""From exceptions to causes."""

import errno
import json

import pytest

from zoo_sdk.errors import IntegrityError, OperationError, OutOfMemory, ParityFailed, Unavailable, UnknownName
from zoo_sdk.vocabulary import FailureCause
from zoo_worker.failures import failure_of, make_failure


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [
        (OperationError("x"), "plugin_error", "operation-failed"),
        (ParityFailed("x"), "parity_failed", "parity-failed"),
        (OutOfMemory("x"), "out_of_memory", "out-of-memory"),
        (UnknownName("format", "x", ["y"]), "invalid_input", "unknown-name"),
        (IntegrityError("x"), "invalid_input", "integrity"),
        (Unavailable("x"), "infrastructure", "unavailable"),
        (MemoryError(), "out_of_memory", "out-of-memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory", "out-of-memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "infrastructure", "disk-full"),
        (OSError(errno.ENOENT, "No such file"), "plugin_error", "plugin-error"),
        (ZeroDivisionError("x"), "plugin_error", "plugin-error"),
    ],
)
def test_an_exception_has_its_cause_and_code(error: Exception, cause: str, code: str) -> None:
    failure = failure_of(error)
    assert (failure.cause, failure.code) == (cause, code)


def fail_parity(facts: dict[str, float]) -> None:
    raise ParityFailed("differs", facts=facts)


def test_facts_of_the_error_and_a_short_traceback_come_along() -> None:
    with pytest.raises(ParityFailed) as caught:
        fail_parity({"max_abs_diff": 0.5})
    failure = failure_of(caught.value)
    assert failure.facts["max_abs_diff"] == 0.5
    assert "fail_parity" in failure.facts["traceback"]


def test_facts_are_plain_bounded_json() -> None:
    facts = {"nan": float("nan"), "object": object(), "nul": "a\x00b", "large": "x" * 100_000}
    failure = make_failure(FailureCause.PLUGIN_ERROR, "c", "m\x00", facts)
    text = json.dumps(failure.facts, allow_nan=False)
    assert len(text) < 40_000
    assert "\\u0000" not in text
    assert failure.message == "m\N{REPLACEMENT CHARACTER}"
    assert "left_out" in failure.facts
