"""Decides once, when the worker starts, what its children give up; and for each child, which files it keeps."""

import json
import logging
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from zoo_sdk.discovery import discover_operations
from zoo_sdk.errors import InvalidInput
from zoo_worker.isolation import Isolation
from zoo_worker.state import StateFolder, remove_tree

logger = logging.getLogger(__name__)

Wish = Literal["auto", "required", "off"]
DEFAULT_USER = "nobody"
TRIAL_SECONDS = 60
SYSTEM_FOLDERS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store", "/proc", "/sys",
)  # fmt: skip
SYSTEM_FILES = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/hosts", "/etc/localtime", "/etc/timezone", "/etc/os-release", "/etc/machine-id", "/etc/mime.types",
    "/etc/alternatives", "/etc/fonts", "/etc/OpenCL", "/etc/vulkan", "/etc/nvidia",
)  # fmt: skip
"""Of /etc only what libraries look up: no keys, no passwords, no configuration of services."""
DEVICES = (
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "nvidia*", "nvidia-caps", "dri", "dxg",
    "kfd",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What every child of this worker gives up.  ``readable``: what all of them read, such as installed packages."""

    network: bool = False
    files: bool = False
    user: tuple[int, int] | None = None
    readable: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        """For people: ``network, privileges`` or ``none``."""
        return ", ".join(Isolation(network=self.network, files=self.files, user=self.user).words) or "none"

    def of_child(self, *, inputs: Iterable[Path], writable: Iterable[Path]) -> Isolation:
        """The isolation of one child, which reads these folders too and writes into those.

        Where it becomes another user, it is given the folders that it writes into.
        """
        folders = tuple(inputs)
        places = tuple(writable)
        if self.user is not None:
            for place in places:
                _hand_over(place, self.user)
            for folder in folders:
                _open_folders(folder)
        return Isolation(
            network=self.network,
            files=self.files,
            user=self.user,
            readable=(*self.readable, *folders, *_link_targets(folders)),
            writable=(*places, *self.devices),
        )


def find_confinement(wish: Wish, user: str | None, state: StateFolder) -> Confinement:
    """Try what this machine allows, from most to least, and say in the log what is left open.

    Raises:
        InvalidInput: everything is ``required``, and something is refused; or there is no such user.

    """
    if wish == "off":
        logger.warning("operations are not isolated: ZOO_WORKER_ISOLATION is off")
        return Confinement()
    refused: list[str] = []
    whole = Confinement(
        network=True, files=True, user=_other_user(user, state, refused), readable=_readable(), devices=_devices()
    )
    for wanted in _lesser(whole):
        reason = _refusal(wanted, state)
        if reason is None:
            _tell(wanted, refused, wish)
            return wanted
        refused.append(f"{_name(wanted)}: {reason}")
    _tell(Confinement(), refused, wish)
    return Confinement()


def _lesser(whole: Confinement) -> Iterator[Confinement]:
    yield whole
    if whole.user is not None:
        yield replace(whole, user=None)
        yield replace(whole, files=False)
    yield replace(whole, user=None, network=False)
    yield replace(whole, user=None, files=False)


def _name(wanted: Confinement) -> str:
    parts = {"network": wanted.network, "files": wanted.files, f"user {wanted.user}": wanted.user is not None}
    return " and ".join(name for name, given in parts.items() if given)


def _tell(found: Confinement, refused: list[str], wish: Wish) -> None:
    missing = {"network", "privileges"} - set(found.title.split(", "))
    if missing and wish == "required":
        raise InvalidInput(
            f"Operations cannot be isolated ({' and '.join(sorted(missing))}): {'; '.join(refused)}.",
            hint="Allow it (workers/README.md says how), or set ZOO_WORKER_ISOLATION=auto.",
            facts={"field": "ZOO_WORKER_ISOLATION"},
        )
    if missing:
        logger.warning("isolation of operations: %s. Refused here: %s", found.title, "; ".join(refused))
    else:
        details = f"as user {found.user[0]}" if found.user else "as the worker's user, without capabilities"
        logger.info("isolation of operations: %s (%s)", found.title, details)
        for reason in refused:
            logger.info("isolation of operations, refused here: %s", reason)


def _refusal(wanted: Confinement, state: StateFolder) -> str | None:
    """Why a process of its own could not give this up and then still work; None: it could."""
    folder = state.attempts / f"isolation-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        isolation = wanted.of_child(inputs=(), writable=(folder, state.shared_cache))
        trial = {"isolation": asdict(isolation), "needed": _needed()}
        command = [sys.executable, "-m", "zoo_worker.isolation", json.dumps(trial, default=str)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        return f"no answer for {TRIAL_SECONDS} s"
    finally:
        remove_tree(folder)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it ended"])[-1][:300]


def _needed() -> list[str]:
    """A file of each package that a child imports first, and the modules of the operations."""
    names = {"zoo_worker", "zoo_sdk", "pydantic", *(spec.implementation for spec in discover_operations().values())}
    found = set()
    for name in names:
        module = PathFinder.find_spec(name.partition(":")[0].partition(".")[0])  # as a new process would find it
        if module is not None and module.origin and Path(module.origin).is_file():
            found.add(module.origin)
    return sorted(found)


def _other_user(name: str | None, state: StateFolder, refused: list[str]) -> tuple[int, int] | None:
    """The user that a root worker's children become, if that user can reach what they need."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name or DEFAULT_USER)
    except KeyError as error:
        if name is None:
            return None
        raise InvalidInput(
            f"ZOO_WORKER_USER={name!r}: there is no such user.", facts={"field": "ZOO_WORKER_USER"}
        ) from error
    for place in (Path(sys.prefix), Path(sys.base_prefix), state.root.parent):
        closed = next((folder for folder in (place, *place.parents) if not _is_passable(folder)), None)
        if closed is not None:
            refused.append(f"user {entry.pw_name}: {closed} is closed to others, and operations need {place}")
            return None
    for folder in (state.root, state.attempts, state.checkpoint_root):
        folder.chmod(0o711)
    return entry.pw_uid, entry.pw_gid


def _is_passable(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False


def _readable() -> tuple[Path, ...]:
    """Python, its packages (of those installed for editing: their source), and what libraries look up."""
    paths = [*SYSTEM_FOLDERS, *SYSTEM_FILES, sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(None, sys.path)]
    paths += [part for part in os.environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    for item in distributions():
        with suppress(ValueError, OSError):
            origin = json.loads(item.read_text("direct_url.json") or "{}")
            if origin.get("dir_info", {}).get("editable"):
                paths.append(unquote(urlsplit(origin.get("url", "")).path))
    found = dict.fromkeys(Path(path) for path in paths)
    return tuple(path for path in found if path.is_absolute() and path != Path("/"))


def _devices() -> tuple[Path, ...]:
    return tuple(path for pattern in DEVICES for path in sorted(Path("/dev").glob(pattern)))


def _link_targets(folders: Iterable[Path]) -> list[Path]:
    """Inputs lie as hard links in their folders; on another file system they are links to single files."""
    found = []
    for folder in folders:
        for below, _folders, names in os.walk(folder):
            found += [path.resolve() for name in names if (path := Path(below, name)).is_symlink()]
    return found


def _hand_over(place: Path, user: tuple[int, int]) -> None:
    for below, _folders, names in os.walk(place):
        for path in (Path(below), *(Path(below, name) for name in names)):
            with suppress(FileNotFoundError):
                os.chown(path, *user, follow_symlinks=False)


def _open_folders(folder: Path) -> None:
    for below, _folders, _names in os.walk(folder):
        Path(below).chmod(0o755)
