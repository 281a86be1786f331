"""The one tree of errors.

::

    ZooError
    ├── InvalidInput          a value is wrong: says which, and what is allowed
    │   ├── UnknownName       an operation, a format, a port ... that does not exist; suggests the nearest
    │   └── IntegrityError    bytes that are not what their digest says
    ├── NotFound
    ├── PermissionDenied
    ├── Conflict              the thing is not in the state that the request needs
    │   └── LeaseLost         the attempt belongs to somebody else now
    ├── Unavailable           try again later (retryable)
    └── OperationError        an operation could not do its work
        ├── ParityFailed      a converted model does not compute what its source computes
        ├── OutOfMemory
        └── Cancelled         raised by ``context.raise_if_cancelled()``

Each error has a stable ``code`` (kebab-case), says whether a retry may help, and carries a ``hint``: the next step.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from zoo_sdk.vocabulary import FailureCause


class ZooError(Exception):
    """Base of all errors of Zoo.

    Args:
        detail: what happened, with the value that caused it.
        hint: what to do about it.
        facts: machine-readable values (figures, field names) that belong to the error.

    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, hint: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.facts = dict(facts or {})

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".strip()


class InvalidInput(ZooError):
    """A value is wrong.  ``facts["field"]`` names it where there is one."""

    code = "invalid-input"


class UnknownName(InvalidInput):
    """A name that is not in a closed set; the message suggests the nearest known ones."""

    code = "unknown-name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        choices = sorted(known)
        near = get_close_matches(name, choices, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(near)}?" if near else f"Known: {', '.join(choices) or 'none'}."
        super().__init__(f"Unknown {kind} {name!r}.", hint=hint, facts={"kind": kind, "name": name})


class IntegrityError(InvalidInput):
    """Bytes whose digest or size is not the promised one."""

    code = "integrity"


class NotFound(ZooError):
    """There is no such thing, or the caller may not know of it."""

    code = "not-found"


class PermissionDenied(ZooError):
    """The caller is known but lacks the scope or role."""

    code = "permission-denied"


class Conflict(ZooError):
    """The thing is not in the state that the request needs."""

    code = "conflict"


class LeaseLost(Conflict):
    """The attempt's lease is gone: another worker has the job, or it has ended."""

    code = "lease-lost"


class Unavailable(ZooError):
    """A part is away for the moment."""

    code = "unavailable"
    retryable = True


class OperationError(ZooError):
    """An operation could not do its work; ``cause`` tells the registry why."""

    code = "operation-failed"
    cause: ClassVar[FailureCause] = FailureCause.PLUGIN_ERROR


class ParityFailed(OperationError):
    """The converted model does not compute what its source computes; ``facts`` holds the figures."""

    code = "parity-failed"
    cause = FailureCause.PARITY_FAILED


class OutOfMemory(OperationError):
    """Host or device memory ran out."""

    code = "out-of-memory"
    cause = FailureCause.OUT_OF_MEMORY


class Cancelled(OperationError):
    """The job was cancelled; raised at a safe point."""

    code = "cancelled"
    cause = FailureCause.CANCELLED
