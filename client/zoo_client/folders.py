"""Where a version's files may land: below the target folder, whatever names the server gives."""

from collections.abc import Iterable
from pathlib import Path

from zoo_sdk.attestations import MANIFEST_NAME, PROVENANCE_FOLDER
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_sdk.names import checked_path

__all__ = ["MANIFEST_NAME", "RESERVED_NAMES", "check_names", "destination_below"]
RESERVED_NAMES = frozenset({MANIFEST_NAME, PROVENANCE_FOLDER})
"""What a pull adds to the model's own files."""


def check_names(paths: Iterable[str]) -> None:
    """Refuse a set of file names that cannot be a folder, or that would hide something.

    Raises:
        InvalidInput: an unsafe path, one path twice, a file where another needs a folder, or a name of ours.

    """
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        checked_path(path)
        if path in seen or path.split("/")[0] in RESERVED_NAMES:
            raise InvalidInput(f"The registry lists {path!r}, which cannot be stored: the name is taken.")
        seen.add(path)
        folders |= {"/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)}
    clash = sorted(seen & folders)
    if clash:
        raise InvalidInput(f"The registry lists {clash[0]!r} as a file and as a folder.")


def destination_below(folder: Path, path: str) -> Path:
    """``folder/path`` with its folders made; no symbolic link below ``folder`` is followed.

    Raises:
        InvalidInput: the path is unsafe.
        Conflict: a link or a file stands where a folder is needed.

    """
    current = folder
    *parents, name = checked_path(path).split("/")
    for part in parents:
        current = current / part
        if current.is_symlink() or (current.exists() and not current.is_dir()):
            raise Conflict(
                f"{current} is not a folder of its own, so {path!r} cannot be put there.",
                hint="Pull into an empty folder, or remove what is in the way.",
            )
        current.mkdir(exist_ok=True)
    destination = current / name
    if destination.is_dir() and not destination.is_symlink():
        raise Conflict(f"{destination} is a folder where a file is to be put.", hint="Pull into an empty folder.")
    return destination
