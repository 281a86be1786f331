"""What a file on this machine is: the registry's own inspection, offline, without executing anything."""

from pathlib import Path
from typing import Any

from zoo_client.records import FileInspection
from zoo_inspection import INSPECTOR_VERSION, inspect
from zoo_inspection.telling import in_short, table_of
from zoo_sdk.errors import InvalidInput, NotFound


def inspect_file(path: Path) -> tuple[FileInspection, dict[str, dict[str, Any]]]:
    """The inspection as ``GET .../inspection/{path}`` answers it (without a digest), and its tables by name.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is a folder or a device.

    """
    if not path.exists():
        raise NotFound(f"There is no file {path}.", hint="Check the path.")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file.", hint="Name the file that holds the model.")
    found = inspect(path, name=path.name)
    told: FileInspection = {
        "path": str(path),
        "sha256": None,
        "size": path.stat().st_size,
        "format": found.format,
        "inspector": INSPECTOR_VERSION,
        "severity": found.severity,
        "findings": [dict(finding) for finding in found.findings],
        "facts": in_short(found.facts),
        "artifact": None,
        "contradictions": [],
    }
    tables = {name: table for name in ("layers", "weights") if (table := table_of(found.facts, name))}
    return told, tables
