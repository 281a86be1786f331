"""The client's additions to the tree of :mod:`zoo_sdk.errors`, and how a problem document (RFC 9457) becomes one.

::

    ZooError
    ├── PermissionDenied
    │   └── NotSignedIn       no token, or one that the registry does not accept
    ├── NotFound
    │   └── Gone              it was withdrawn (410)
    ├── Conflict
    │   └── NotMirrored       the registry has only the file's address
    ├── Unavailable
    │   └── Unreachable       no answer from that address
    ├── NoRoom                the registry's disk or quota is full, or the file is too large (413, 507)
    ├── ServerFault           the registry answered 500, or something that is no answer of a registry
    ├── JobFailed             the job ended failed or cancelled
    ├── PipelineFailed        the pipeline ended failed, stopped by a gate, or cancelled
    └── VerificationFailed    a folder or the audit chain is not what it should be
"""

from collections.abc import Iterator, Mapping
from typing import Any

from zoo_sdk import errors


class NotSignedIn(errors.PermissionDenied):
    """The registry does not know who is asking."""

    code = "not-authenticated"


class Gone(errors.NotFound):
    """It existed and was withdrawn; its history is still there."""

    code = "gone"


class NotMirrored(errors.Conflict):
    """The registry knows the file's address, but does not have its bytes."""

    code = "not-mirrored"


class Unreachable(errors.Unavailable):
    """No answer from that address."""

    code = "unreachable"


class NoRoom(errors.ZooError):
    """More bytes than the registry takes or has room for."""

    code = "insufficient-storage"


class ServerFault(errors.ZooError):
    """The registry failed, or what answered is no registry."""

    code = "server-fault"


class JobFailed(errors.ZooError):
    """A job ended failed or cancelled; ``facts`` holds its id, state and cause."""

    code = "job-failed"


class PipelineFailed(errors.ZooError):
    """A pipeline ended failed, stopped by a gate, or cancelled; ``facts`` holds its id, state and the steps."""

    code = "pipeline-failed"


class VerificationFailed(errors.ZooError):
    """What was checked is not what it should be; ``facts`` says where."""

    code = "verification-failed"


_BY_STATUS: Mapping[int, type[errors.ZooError]] = {
    400: errors.InvalidInput,
    401: NotSignedIn,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.Conflict,
    410: Gone,
    413: NoRoom,
    422: errors.InvalidInput,
    429: errors.Unavailable,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    507: NoRoom,
}
_HINTS = {
    401: "Sign in with `zoo login`, or set ZOO_TOKEN to a valid token.",
    403: "Ask an admin of the team for the role, or use a token with the scope (`zoo whoami` shows yours).",
    503: "Try again in a moment.",
    507: "Ask the administrator to free space or to raise the quota.",
}


_OURS = (errors.__name__, __name__)
"""A program may hold other errors of the tree with the same codes: a plugin's, or the server's own."""


def _all_errors(root: type[errors.ZooError] = errors.ZooError) -> Iterator[type[errors.ZooError]]:
    yield root
    for child in root.__subclasses__():
        yield from _all_errors(child)


def error_of_problem(status: int, problem: Mapping[str, Any], *, where: str) -> errors.ZooError:
    """The error of the tree that a problem document stands for: by its ``code``, else by the HTTP status.

    A code that is finer than any class here (``cycle``, ``offset-mismatch``) stays on the error as ``code``.
    """
    code = str(problem.get("code") or "")
    detail = str(problem.get("detail") or problem.get("title") or f"The registry answered {status} for {where}.")
    facts = dict(problem.get("facts") or {})
    fields = problem.get("errors")
    if isinstance(fields, list):
        facts.setdefault("errors", fields)
    kinds = {kind.code: kind for kind in _all_errors() if kind.__module__ in _OURS and kind is not errors.UnknownName}
    kind = kinds.get(code) or _BY_STATUS.get(status, ServerFault)
    hint = str(problem.get("hint") or _HINTS.get(status, ""))
    error = kind(detail, hint=hint, facts=facts)
    if code:
        vars(error)["code"] = code  # shadows the class's code for this one error
    return error
