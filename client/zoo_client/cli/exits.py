"""Exit codes, and how an error is told: what happened, what to do next, never a traceback."""

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo_sdk import errors

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FORBIDDEN = 3
EXIT_NOT_FOUND = 4
EXIT_UNAVAILABLE = 5
EXIT_INTERRUPTED = 130

EXIT_HELP = (
    "Exit codes: 0 done; 1 what was asked failed (a job failed, a check found faults, the state forbids it); "
    "2 wrong usage or wrong input; 3 not signed in, or not permitted; 4 not found or withdrawn; "
    "5 no registry answers or it is overloaded; 130 interrupted."
)


def exit_code_of(error: BaseException) -> int:
    """The exit code that belongs to an error."""
    if isinstance(error, errors.IntegrityError):
        return EXIT_FAILED
    table: tuple[tuple[type[BaseException], int], ...] = (
        (errors.PermissionDenied, EXIT_FORBIDDEN),
        (errors.NotFound, EXIT_NOT_FOUND),
        (errors.InvalidInput, EXIT_USAGE),
        (errors.Unavailable, EXIT_UNAVAILABLE),
        (KeyboardInterrupt, EXIT_INTERRUPTED),
    )
    return next((code for kind, code in table if isinstance(error, kind)), EXIT_FAILED)


def tell(error: Exception, *, as_json: bool) -> None:
    """Print an error: for people on standard error, with ``--json`` also as an object on standard output."""
    from zoo_client.cli.text import as_json as to_json
    from zoo_client.cli.text import safe

    if isinstance(error, errors.ZooError):
        code, detail, hint, facts = error.code, error.detail, error.hint, error.facts
    elif isinstance(error, OSError):
        code, detail, hint, facts = (
            "os-error",
            _os_error_text(error),
            "Check the path, its permissions and the disk.",
            {},
        )
    else:
        place = _keep_traceback()
        code, detail, facts = "internal", f"zoo met a fault of its own: {type(error).__name__}: {error}", {}
        hint = f"The details are in {place}; please report them." if place else "Please report it."
    if as_json:
        body = {"code": code, "detail": detail, "hint": hint, "facts": facts}
        sys.stdout.write(to_json({"error": body}) + "\n")
    lines = [*_placed_lines(facts), f"Error: {safe(detail)}"]
    told = [f"{safe(item['field'])}: {safe(item.get('message'))}" for item in _entries(facts) if "field" in item]
    lines += [f"  {line}" for line in told if line not in detail]
    lines += [f"Hint: {safe(hint)}"] if hint else []
    sys.stderr.write("\n".join(lines) + "\n")


def _entries(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = facts.get("errors")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _placed_lines(facts: Mapping[str, Any]) -> list[str]:
    """Mistakes in a file as compilers tell them, so that editors jump there: ``file:line:column: key: message``."""
    from zoo_client.cli.text import safe

    lines = []
    for item in _entries(facts):
        if "key" in item:
            place = f"{item['file']}:{item['line']}:{item['column']}: " if item.get("line") is not None else ""
            allowed = f" (allowed: {item['allowed']})" if item.get("allowed") else ""
            lines.append(safe(f"{place}{item['key']}: {item.get('message')}{allowed}"))
    return lines


def _os_error_text(error: OSError) -> str:
    return f"{error.strerror or error}: {error.filename}" if error.filename else str(error)


def _keep_traceback() -> Path | None:
    from zoo_client.credentials import cache_folder

    path = cache_folder(os.environ) / "last-fault.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(traceback.format_exc(), "utf-8")
    except OSError:
        return None
    return path
